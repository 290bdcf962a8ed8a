#!/bin/sh
# Install MariaDB and PgBouncer from the system's packages where that takes no
# password. Elsewhere their tests are skipped, and say so. The tests run servers
# of their own, for which MariaDB's core packages, without a service, are enough.
set -u
PATH=$PATH:/usr/sbin

command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null && command -v pgbouncer >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "MariaDB or PgBouncer is not installed: their tests will be skipped."
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq &&
    apt-get install -qq --no-install-recommends mariadb-server-core mariadb-client-core pgbouncer >/dev/null ||
    echo "MariaDB or PgBouncer could not be installed: their tests will be skipped."
