# npm ci from a lock file, out of a cache that was filled outside.
set -eu
npm() {
  node /usr/lib/npm/bin/npm-cli.js "$@"
}
cp -r /work/npm /srv/npm
cd /srv/npm
npm ci --offline --cache /npm-cache --no-audit --no-fund --loglevel error >/dev/null
npm ls --all >/dev/null
node_modules/.bin/semver -r '>=1 <3' 1.5.0 3.0.0
node -e 'const p = require("tar-stream").pack(); p.entry({ name: "a" }, "b"); p.finalize(); p.resume().on("end", () => console.log("packed"))'
rm -r node_modules
