# shellcheck shell=bash
# Sourced by run.sh: where the toolkit and the mini corpus are.
MINI_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="${MINI_ROOT}/../..:${MINI_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
# One training is one thread: two of them fill two cores better than one with two threads.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
# glibc gives large blocks back to the system at every free; keeping them halves the time of the feature extraction.
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
