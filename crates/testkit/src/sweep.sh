# Ends and removes all that a test left in the folder $1. Reads from a pipe that closes when the test
# process ends, in whatever way; so nothing is left running even after its `kill -9`.
trap '' HUP INT TERM
while read -r _; do :; done

root=$1
for file in "$root"/group-*; do
    [ -e "$file" ] || continue
    kill -s KILL -- "-${file##*/group-}" 2>/dev/null
done

# Postgres is told to leave at once (SIGQUIT), so that it gives back its shared memory.
find "$root" -maxdepth 4 -name postmaster.pid 2>/dev/null | while read -r record; do
    pid=$(head -n 1 "$record")
    case $pid in '' | *[!0-9]*) continue ;; esac
    data=$(dirname "$record")
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null || echo "$data")" = "$data" ] || continue
    # One that a test stopped (SIGSTOP) hears nothing until it goes on.
    kill -CONT "$pid" 2>/dev/null
    kill -QUIT "$pid" 2>/dev/null
    for _ in $(seq 1 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
done

rm -rf "$root"
