#!/bin/sh
# Entry point of the image: writes the config folder for the database that the environment names, then runs the command.
# The password comes from a file (a compose secret), stays out of the container's own environment, and is never an argument.
set -eu
: "${CCDCGAN_AL_MONGO_HOST:?wanted host:port of MongoDB}" "${CCDCGAN_AL_MONGO_USER:?wanted the name of its user}"
: "${CCDCGAN_AL_HOME:?wanted a folder for the config files}"
secret=${CCDCGAN_AL_MONGO_PASSWORD_FILE:-/run/secrets/mongo_password}
[ -s "$secret" ] || { echo "entrypoint: no password in $secret; set CCDCGAN_AL_MONGO_PASSWORD for docker compose" >&2; exit 1; }

quote='import sys, urllib.parse as u; print(u.quote(sys.stdin.read().rstrip("\r\n"), safe=""))'
password=$(python -c "$quote" <"$secret")
user=$(printf %s "$CCDCGAN_AL_MONGO_USER" | python -c "$quote")
database=${CCDCGAN_AL_DATABASE:-ccdcgan_al}
export CCDCGAN_AL_MONGO_URI="mongodb://$user:$password@$CCDCGAN_AL_MONGO_HOST/$database?authSource=admin"

ccdcgan-al init "$CCDCGAN_AL_HOME/config" >&2
. "$CCDCGAN_AL_HOME/config/environment.sh"
exec "$@"
