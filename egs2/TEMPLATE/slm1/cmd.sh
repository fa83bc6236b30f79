#!/usr/bin/env bash
# To be sourced: how jobs are run. Each command is called as
#   ${train_cmd} [--gpu N] [--mem 8G] [--num_threads N] [--time 4:00:00] JOB=1:N log/x.JOB.log command ... JOB ...
# (utils/launch.py --help). cmd_backend names a backend of utils/launcher: local runs jobs on this machine.
cmd_backend=${cmd_backend:-local}

export train_cmd="utils/launch.py --backend ${cmd_backend}"   # jobs on CPUs: statistics
export cuda_cmd="utils/launch.py --backend ${cmd_backend}"    # training
export decode_cmd="utils/launch.py --backend ${cmd_backend}"  # arrays: encoding and decoding
