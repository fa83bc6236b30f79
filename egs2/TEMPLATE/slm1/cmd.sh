#!/usr/bin/env bash
# To be sourced: how jobs are run. Each command is called as
#   ${train_cmd} [--gpu N] [--mem 8G] [--num_threads N] [--time 4:00:00] JOB=1:N log/x.JOB.log command ... JOB ...
# (utils/launch.py --help). cmd_backend=slurm ./run.sh, or an edit here, chooses where:
#   local   this machine
#   slurm   a cluster with Slurm; flags of sbatch are in conf/slurm.conf of the toolkit, or of the recipe if it has one
#   ssh     machines with a filesystem in common, listed in conf/hosts of the recipe: node01 jobs=4 gpus=0,1
# More options of the launcher can follow here, such as what a cluster wants to know of each kind of job:
#   export cuda_cmd="utils/launch.py --backend ${cmd_backend} --mem 64G --time 24:00:00 --partition gpu"
# A training whose time is over stops in good order, is queued again and goes on; other jobs go on when run.sh is called
# again.
cmd_backend=${cmd_backend:-local}

export train_cmd="utils/launch.py --backend ${cmd_backend}"   # jobs on CPUs: statistics
export cuda_cmd="utils/launch.py --backend ${cmd_backend}"    # training
export decode_cmd="utils/launch.py --backend ${cmd_backend}"  # arrays: encoding and decoding
