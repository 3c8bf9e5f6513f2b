#!/bin/sh
# shop/postgres: `postgres.sh DIRECTORY`. Makes a small database as user postgres and serves it on port 5432.
set -eu
dir=$1
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
as_postgres() { runuser -u postgres -- "$@"; }
cd "$dir"
chown postgres "$dir"
as_postgres "$bin/initdb" --auth=trust --pgdata="$dir/data" --no-sync
echo "host all all 10.244.0.0/16 trust" >> "$dir/data/pg_hba.conf"
as_postgres "$bin/pg_ctl" -D "$dir/data" -o "-k $dir -c listen_addresses=''" -w start
as_postgres psql -q -h "$dir" postgres <<'SQL'
CREATE ROLE shop LOGIN;
CREATE DATABASE shop OWNER shop;
\c shop
CREATE TABLE articles (id int PRIMARY KEY, name text, stock int);
INSERT INTO articles SELECT n, 'article ' || n, n * 3 FROM generate_series(1, 50) n;
GRANT SELECT ON articles TO shop;
SQL
as_postgres "$bin/pg_ctl" -D "$dir/data" -w stop
exec runuser -u postgres -- "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses='*' -c fsync=off
