# What docs/team.md takes for granted, on the machine that boot.sh has
# booted. Its commands follow below this in one script.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
cd /mnt/clone

cat >/usr/local/bin/sudo <<'END'
#!/bin/sh
[ "$1" != -u ] || { user=$2; shift 2; exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"; }
exec "$@"
END
chmod 755 /usr/local/bin/sudo

# A name, and a certificate from an authority that this machine trusts.
echo 127.0.0.1 kubbi.example.com >>/etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 60 -subj '/CN=A test' \
	-keyout /tmp/authority.key -out /tmp/authority.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kubbi.example.com \
	-keyout privkey.pem -out /tmp/request.pem 2>/dev/null
openssl x509 -req -in /tmp/request.pem -CA /tmp/authority.crt -CAkey /tmp/authority.key -days 60 -out fullchain.pem \
	-extfile <(echo subjectAltName=DNS:kubbi.example.com) 2>/dev/null
cat /tmp/authority.crt >>/etc/ssl/certs/ca-certificates.crt

version=$(ls /usr/lib/postgresql | sort -n | tail -n 1)
[ -d "/etc/postgresql/$version/main" ] || pg_createcluster "$version" main
systemctl start "postgresql@$version-main"

# The machine is asked what became of all, in the end and when something fails.
trap 'status=$?; set +e; echo "== the journal"; journalctl --no-pager --unit kubbi-relay; exit $status' EXIT
