#!/usr/bin/env python3
"""A job that resumes: counts to argv[1] (1000 unless given), appending each number to argv[2], once.

The same as count.sh. The checkpoint holds the last number that is certainly in the file, and how long the file
was with it; what stands behind that is cut off and written again.
"""

import json
import os
import sys
import time

SAVE_EVERY = 10


def save(path, progress):
    """Replaces the checkpoint: durable, and never half written."""
    new = path + ".new"
    with open(new, "w") as file:
        json.dump(progress, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def main():
    last = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    results = sys.argv[2] if len(sys.argv) > 2 else "results"
    checkpoint = os.environ["RECOVERYCTL_CHECKPOINT"]

    progress = {"number": 0, "length": 0}
    if os.environ.get("RECOVERYCTL_RESUMED") == "1":
        with open(checkpoint) as file:
            progress = json.load(file)
        print(f"attempt {os.environ['RECOVERYCTL_ATTEMPT']} goes on behind {progress['number']}", flush=True)

    with open(results, "ab") as file:
        file.truncate(progress["length"])
        for number in range(progress["number"] + 1, last + 1):
            time.sleep(0.003)  # The work itself.
            file.write(f"{number}\n".encode())
            if number % SAVE_EVERY == 0 or number == last:
                # What was written first, then what says so.
                file.flush()
                os.fsync(file.fileno())
                save(checkpoint, {"number": number, "length": os.fstat(file.fileno()).st_size})
    print(f"counted to {last}", flush=True)


if __name__ == "__main__":
    main()
