# The other way to have TLS that docs/team.md shows: nginx before a
# relay, with the manual's settings for both.
systemctl stop kubbi-relay
cat >/tmp/nginx.conf <<'END'
pid /tmp/nginx.pid;
error_log /tmp/nginx-error.log;
events {}
http {
	server {
		listen 443 ssl;
		ssl_certificate /mnt/clone/fullchain.pem;
		ssl_certificate_key /mnt/clone/privkey.pem;
		include /mnt/clone/location.conf;
	}
}
END
systemd-run --quiet --unit=behind --property=EnvironmentFile=/mnt/clone/relay.env \
	/usr/local/bin/kubbi-mcp relay --data-dir /var/lib/behind
nginx -c /tmp/nginx.conf
curl -fsS --retry 10 --retry-all-errors https://kubbi.example.com/health
key=$(kubbi-mcp keys create --data-dir /var/lib/behind --label behind)
head -c 20M /dev/urandom >/tmp/large.bin
url=$(KUBBI_API_KEY=$key kubbi-mcp send -f /tmp/large.bin)
kubbi-mcp claim -o /tmp/inbox "$url"
cmp /tmp/large.bin /tmp/inbox/large.bin

# Nobody forges an address, in neither header.
ip address add 192.0.2.7/32 dev lo
curl -fsS --interface 192.0.2.7 -H 'X-Forwarded-For: 203.0.113.9' -H 'Forwarded: for=203.0.113.9' "$url/inspect" >/dev/null
curl -fsS --interface 192.0.2.7 -H 'X-Forwarded-For: 203.0.113.9' "$url/inspect" >/dev/null
systemctl stop behind
[ "$(journalctl --no-pager --unit behind | grep -c 'client=192.0.2.7')" = 2 ]
[ "$(journalctl --no-pager --unit behind | grep -c '203.0.113.9')" = 0 ]
