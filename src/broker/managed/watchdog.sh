# Parent of everything a managed node runs, in a session of its own. Reads orders from standard input; when that
# ends, because the driver closed it or died in whatever way, kills all that it started and removes the directory.
# Arguments: state directory, epmd, epmd port, rabbitmq-server.
dir=$1 epmd=$2 epmd_port=$3 server=$4
umask 077
mkdir -m 700 -- "$dir" 2>&1 || exit 1
echo made

# SIGKILL for each living process of this session, and for those that left it: as subreaper this shell is the parent
# of every orphan. The fields of /proc/PID/stat after the name in brackets are: state, parent, group, session.
sweep() {
    living=
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        pid=${line%% *}
        set -- ${line##*) }
        [ "$pid" != $$ ] || continue
        case $1 in Z | X) continue ;; esac
        if [ "$2" = $$ ] || [ "$4" = $$ ]; then
            kill -9 "$pid"
            living=yes
        fi
    done
}

while read -r order; do
    case $order in
    epmd)
        "$epmd" -port "$epmd_port" -address 127.0.0.1 </dev/null >>"$dir/epmd.log" 2>&1 &
        ;;
    server)
        { "$server" </dev/null >>"$dir/server.log" 2>&1; echo $? >"$dir/exited"; } &
        ;;
    esac
done

exec >/dev/null 2>&1
sweep
while [ -n "$living" ]; do
    sleep 0.02 # also collects the children that ended
    sweep
done
rm -rf -- "$dir"
