#!/bin/bash
# Serves Conf/demo from a copy in $RUN with `postern sink` as the downstream MTA, until Ctrl-C. Needs POSTERN=path of the binary; no root.
set -eu
cd "$(dirname "$0")"
demo=$PWD
cd ../..
# As root the roles become an unprivileged user, who must be able to reach the directory: a clone below /root is out of his sight.
owner=
if [ "$(id -u)" = 0 ]; then
    RUN=/var/lib/postern-demo
    owner=nobody
fi
mkdir -p "$RUN"
run=$(cd "$RUN" && pwd)

if [ -s "$run/postern.pid" ] && kill -0 "$(cat "$run/postern.pid")" 2>/dev/null; then
    echo "a demo is running already in $run (process $(cat "$run/postern.pid"))" >&2
    exit 1
fi
cp "$demo/main.cf" "$demo/master.cf" "$run/"
[ -z "$owner" ] || echo "mail_owner = $owner" >> "$run/main.cf"
mkdir -p "$run/sasl" "$run/data"
chmod 700 "$run/sasl"
cat > "$run/sasl/smtpd.conf" <<CONF
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: $run/sasl/sasldb2
mech_list: PLAIN LOGIN SCRAM-SHA-256
CONF
[ -s "$run/cert.pem" ] || "$POSTERN" cert selfsigned --name localhost --name 127.0.0.1 --out-cert "$run/cert.pem" --out-key "$run/key.pem"
printf 'wonderland' | "$POSTERN" user add -p -c "$run" alice
[ -z "$owner" ] || chown -R "$owner" "$run/sasl"

"$POSTERN" sink --listen 127.0.0.1:2526 &
sink=$!
finish() {
    trap - INT TERM EXIT
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    [ -z "${server:-}" ] || wait "$server" 2>/dev/null || true
    kill "$sink" 2>/dev/null || true
    wait "$sink" 2>/dev/null || true
    rm -f "$run/postern.pid"
}
trap finish EXIT
trap 'exit 0' INT TERM

"$POSTERN" start -c "$run" --foreground &
server=$!
echo "$server" > "$run/postern.pid"
for _ in $(seq 100); do
    kill -0 "$server" 2>/dev/null || { wait "$server"; exit 1; }
    (exec 3<>/dev/tcp/127.0.0.1/2525) 2>/dev/null && break
    sleep 0.1
done

cat <<TEXT

Postern is serving:  127.0.0.1:2525 (plain)  2587 (STARTTLS, AUTH)  2465 (TLS, AUTH)  40025 (fetchmail)
Account: alice, password: wonderland.  Log: $run/maillog.  Every message it relays appears here.  Ctrl-C ends everything.

Try, in another terminal:

  swaks --server 127.0.0.1:2587 -tls --auth PLAIN --auth-user alice --auth-password wonderland --from alice@example.com --to bob@example.net

  printf 'Subject: by curl\n\nHello over TLS.\n' | curl --silent --show-error --cacert $run/cert.pem --url smtps://localhost:2465 --user alice:wonderland --mail-from alice@example.com --mail-rcpt bob@example.net --upload-file -

  python3 -c 'import smtplib; s = smtplib.SMTP("127.0.0.1", 40025); s.sendmail("carol@example.org", "alice@127.0.0.1", "Subject: as fetchmail does\r\n\r\nHello.\r\n"); s.quit()'

TEXT
wait "$server"
