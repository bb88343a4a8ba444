#!/bin/sh
# A job that resumes: counts to $1 (1000 unless given), appending each number to the file $2, once.
#
# The checkpoint holds the last number that is certainly in the file, and how long the file was with it. What
# stands behind that was written by an attempt that was killed before it could save its progress: it is cut
# off, and written again. So each number is there once, whenever the job was killed.
set -eu

last=${1:-1000}
results=${2:-results}

number=0
length=0
if [ "${RECOVERYCTL_RESUMED:-0}" = 1 ]; then
    read -r number length < "$RECOVERYCTL_CHECKPOINT"
    echo "attempt $RECOVERYCTL_ATTEMPT goes on behind $number"
fi
[ -e "$results" ] || : > "$results"
truncate -s "$length" "$results"

while [ "$number" -lt "$last" ]; do
    sleep 0.003 # The work itself.
    number=$((number + 1))
    echo "$number" >> "$results"
    length=$((length + ${#number} + 1))
    # Saved every ten numbers: what is written first is made durable first, and the checkpoint is replaced
    # as a whole, never changed in place.
    if [ $((number % 10)) = 0 ] || [ "$number" = "$last" ]; then
        sync -d "$results"
        echo "$number $length" > "$RECOVERYCTL_CHECKPOINT.new"
        sync -d "$RECOVERYCTL_CHECKPOINT.new"
        mv "$RECOVERYCTL_CHECKPOINT.new" "$RECOVERYCTL_CHECKPOINT"
    fi
done
echo "counted to $last"
