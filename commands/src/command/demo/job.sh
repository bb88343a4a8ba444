# A job of the demonstration: job.sh STAGE NAME EXIT KIND. Tells its start and its end to the witness file.
stage=$1 name=$2 exit_code=$3 kind=$4 attempt=${RECOVERYCTL_ATTEMPT:-1}

tell() { echo "$1 $name $attempt" >>"$stage/witness"; }

# Waits until the gate is open; never longer than a minute, and not when the stage is gone.
wait_at_gate() {
    turns=0
    while [ ! -e "$stage/gate-$name" ]; do
        turns=$((turns + 1))
        [ -d "$stage" ] && [ "$turns" -lt 600 ] || exit 98
        sleep 0.1
    done
}

tell start
case $kind in
gated) wait_at_gate ;;
plain) sleep 0.2 ;;
counting)
    number=$(cat "$RECOVERYCTL_CHECKPOINT" 2>/dev/null || echo 0)
    echo "from $number resumed ${RECOVERYCTL_RESUMED:-0}"
    while [ "$number" -lt "$5" ]; do
        number=$((number + 1))
        echo "$number $attempt" >>"$stage/counted"
        echo "$number" >"$RECOVERYCTL_CHECKPOINT.new"
        mv "$RECOVERYCTL_CHECKPOINT.new" "$RECOVERYCTL_CHECKPOINT"
        if [ "$attempt" = 1 ] && [ "$number" = "$6" ]; then wait_at_gate; fi
    done
    ;;
esac
tell end
exit "$exit_code"
