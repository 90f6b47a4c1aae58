# Parent of a throw-away PostgreSQL cluster. Reads orders from standard input; when that ends, because the driver closed it or
# died in whatever way, ends the server and removes the directory. Arguments: directory, folder of initdb and postgres.
dir=$1 programs=$2 server=
umask 077
trap '' HUP INT TERM
mkdir -m 700 -- "$dir" 2>&1 || exit 1
echo made

# SIGQUIT: no checkpoint, nothing is kept anyway.
end_server() {
    [ -n "$server" ] || return
    kill -QUIT "$server"
    wait "$server"
    server=
}

while read -r order argument; do
    case $order in
    make)
        printf '%s\n' "$argument" >"$dir/password"
        if "$programs/initdb" -D "$dir/data" --username=orderstorm --pwfile="$dir/password" --auth=scram-sha-256 \
            --encoding=UTF8 --locale=C --no-sync </dev/null >"$dir/initdb.log" 2>&1; then
            echo done
        else
            echo failed
        fi
        rm -f -- "$dir/password"
        ;;
    serve)
        end_server 2>/dev/null
        "$programs/postgres" -D "$dir/data" -p "$argument" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c fsync=on -c max_connections=100 </dev/null >"$dir/server.log" 2>&1 &
        server=$!
        ;;
    esac
done

exec >/dev/null 2>&1
end_server
rm -rf -- "$dir"
