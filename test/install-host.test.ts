import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { type Made, wholeBundle } from "./support/bundle.ts";
import { type Gap, openGap } from "./support/gap.ts";
import { scratchDir } from "./support/scratch.ts";

const nobody = 65_534;

/** Installs for the whole host from a slot, looks at what is there, and takes it off again; /etc, /opt and /var/lib are others' to everybody else. */
const wholeHost = `
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cp -a /etc/. "$1/etc"
for dir in etc opt var/lib; do mount --bind "$1/$dir" "/$dir"; done
mount -t tmpfs tmpfs /run # whatever starts services here is out of reach
sh /opt/sallyport/slots/a/scripts/install/activate.sh system /opt/sallyport /opt/sallyport/slots/a "$2"
for path in /var/lib/sallyport /var/lib/sallyport/keys/audit.key /var/lib/sallyport/certs/clients/app/key.pem /etc/sallyport/sallyport.yaml /opt/sallyport/current/server \
  /etc/systemd/system/sallyport.service /etc/systemd/system/sallyport.socket /etc/systemd/system/sallyport-renew.timer; do stat -c '%U %A %n' "$path"; done
if command -v systemd-analyze > /dev/null; then systemd-analyze verify --man=no /etc/systemd/system/sallyport*; fi
getent passwd sallyport
/opt/sallyport/sallyport certs issue billing
/opt/sallyport/sallyport certs rotate
/opt/sallyport/sallyport audit rotate-key
/opt/sallyport/sallyport models verify
/opt/sallyport/run > /dev/null 2>&1 &
until /opt/sallyport/sallyport call --ready --as operator > /dev/null 2>&1; do kill -0 "$!" && sleep 0.3; done
stat -c 'the service runs as %U' "/proc/$(cut -d ' ' -f 2 /var/lib/sallyport/run.pid)"
kill -TERM "$!" && wait "$!" || :
find /var/lib/sallyport ! -user sallyport ! -name trial.log
echo 'nothing else is of others'
mkdir /etc/systemd/system/sallyport.socket.d # as systemctl edit does
sh /opt/sallyport/current/scripts/install/uninstall.sh --delete-data
ls -d /opt/sallyport /etc/sallyport /var/lib/sallyport /etc/systemd/system/sallyport* || :
getent passwd sallyport || echo 'no such user'
`;

describe("an installation from a bundle", function () {
  this.timeout(360_000);
  let gap: Gap;
  let bundle: Made;
  const dir = scratchDir();
  const prefix = join(dir, "prefix");

  before(async function () {
    // Without root, test/install.test.ts has shown the first of these, and nobody can show the second.
    const opened = process.getuid?.() === 0 ? await openGap() : undefined;
    if (opened === undefined) this.skip();
    gap = opened;
    bundle = await wholeBundle();
  });
  after(() => gap?.[Symbol.asyncDispose]());

  it("into a prefix needs no root: it is ready, installed by a user without any rights", async () => {
    const installer = join(dir, "install.sh");
    execFileSync("tar", ["-xf", bundle.file, "-C", dir, "install.sh"]);
    chownSync(dir, nobody, nobody);
    for (const path of [dir, dirname(bundle.file), installer]) chmodSync(path, 0o755);
    const who = ["--reuid", String(nobody), "--regid", String(nobody), "--clear-groups", "--bounding-set=-all", "--no-new-privs"];
    const install = ["env", `HOME=${dir}`, "sh", installer, bundle.file, "--prefix", prefix];
    const { status, stdout, stderr } = await gap.run("/usr/bin/setpriv", [...who, ...install]);
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.include("is installed and was ready. Start it: ");
    expect(statSync(join(prefix, "data", "audit.db")).uid).to.equal(nobody);
  });

  it("for the whole host makes a user, directories, keys and units, is ready, and with --delete-data leaves nothing", async function () {
    if (spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"]).status !== 0) this.skip();
    const stage = scratchDir();
    for (const path of ["etc", "opt/sallyport", "var/lib"]) mkdirSync(join(stage, path), { recursive: true });
    execFileSync("cp", ["-a", "--link", join(prefix, "slots"), join(stage, "opt/sallyport")]);
    execFileSync("chown", ["-R", "root:root", join(stage, "opt/sallyport")]);
    const key = readFileSync(join(prefix, "release.pub"), "utf8").trim();
    const { status, stdout, stderr } = await gap.run("unshare", ["--mount", "sh", "-ec", wholeHost, "sh", stage, key]);
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stderr).not.to.match(/sallyport[^ ]*\.(?:service|socket|timer)/u);
    expect(stdout).to.include("is installed and was ready. Start it: /opt/sallyport/run");
    for (const line of [
      "sallyport drwx------ /var/lib/sallyport",
      "sallyport -rw------- /var/lib/sallyport/keys/audit.key",
      "sallyport -rw------- /var/lib/sallyport/certs/clients/app/key.pem",
      "root -rw-r--r-- /etc/sallyport/sallyport.yaml",
      "root drwxr-xr-x /opt/sallyport/current/server",
      "root -rw-r--r-- /etc/systemd/system/sallyport.service",
      "root -rw-r--r-- /etc/systemd/system/sallyport.socket",
      "root -rw-r--r-- /etc/systemd/system/sallyport-renew.timer",
    ])
      expect(stdout.split("\n")).to.include(line);
    expect(stdout).to.include("\nthe service runs as sallyport\nnothing else is of others\n");
    expect(stdout).to.match(/^sallyport:x:.*:\/usr\/sbin\/nologin$/mu);
    expect(stdout).to.match(/Removed, with all data\.\nno such user\n$/u);
  });
});
