import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { parse, parseAllDocuments } from "yaml";
import { version } from "../scripts/version.ts";
import { testEgress } from "../server/egress.ts";
import { clientAgent, type Json, root, send, startTestAppliance } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { until } from "./support/until.ts";

const deploy = join(root, "scripts/deploy");
const image = `sallyport:${version()}`;
const read = (file: string): string => readFileSync(join(deploy, file), "utf8");

describe("what runs the service where nothing leads out", () => {
  it("as systemd units: no network, no new socket of the internet's families, nothing written but the data; systemd calls it safe", function () {
    for (const file of ["sallyport.service", "sallyport-renew.service"])
      expect(read(`systemd/${file}`).split("\n"), file).to.include.members([
        "PrivateNetwork=yes",
        "IPAddressDeny=any",
        "RestrictAddressFamilies=AF_UNIX",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
      ]);
    expect(read("systemd/sallyport-renew.timer")).to.include("OnCalendar=daily");
    if (spawnSync("systemd-analyze", ["--version"]).status !== 0) this.skip();
    const units = readdirSync(join(deploy, "systemd")).map((file) => join(deploy, "systemd", file));
    const verified = spawnSync("systemd-analyze", ["verify", "--man=no", ...units], { encoding: "utf8" });
    // The command is there after an installation only.
    expect(verified.stderr.split("\n").filter((line) => line.includes("sallyport") && !line.includes("is not executable"))).to.deep.equal(
      [],
    );
    for (const file of ["sallyport.service", "sallyport-renew.service"]) {
      const judged = spawnSync("systemd-analyze", ["security", "--offline=true", "--threshold=5", join(deploy, "systemd", file)]);
      expect(judged.status, file).to.equal(0); // 0.5 of 10 at most
    }
  });

  it("in Kubernetes: nothing leaves, no user root, a root that is read-only, no rights, and data that outlive it", () => {
    const objects: Json[] = parseAllDocuments(read("kubernetes/sallyport.yaml")).map((one) => one.toJS());
    const of = (kind: string): Json => objects.find((one) => one.kind === kind);
    expect(of("Namespace").metadata.labels["pod-security.kubernetes.io/enforce"]).to.equal("restricted");
    const { policyTypes, podSelector, egress } = of("NetworkPolicy").spec;
    expect([policyTypes, podSelector, egress]).to.deep.equal([["Ingress", "Egress"], {}, undefined]);
    const { replicas, template, volumeClaimTemplates } = of("StatefulSet").spec;
    expect([replicas, volumeClaimTemplates[0].metadata.name, template.spec.automountServiceAccountToken]).to.deep.equal([1, "data", false]);
    expect(template.spec.securityContext).to.deep.include({
      runAsNonRoot: true,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    });
    const [container] = template.spec.containers;
    const [{ mountPath }] = container.volumeMounts;
    expect(container.env).to.deep.include({ name: "SALLYPORT_DATA", value: `${mountPath}/sallyport` });
    expect(container.image).to.equal(image);
    expect(container.securityContext).to.deep.equal({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) expect(container).to.have.property(probe);
    expect(JSON.stringify(of("ConfigMap").data)).to.include("sallyport.sallyport.svc");
  });

  it("in Docker: the service in an internal network alone, and the gate before it without a volume", () => {
    const { services, networks } = parse(read("compose.yaml"));
    expect([services.sallyport.networks, networks.inside]).to.deep.equal([["inside"], { internal: true }]);
    expect(services.gate.volumes).to.equal(undefined);
    expect([services.sallyport.image, services.gate.image, services.gate.pull_policy]).to.deep.equal([image, image, "never"]);
    for (const file of ["README.md", "Dockerfile", "docs/install.md"])
      expect(readFileSync(join(root, file), "utf8"), file).to.include(`docker build -t ${image} .`);
    for (const one of [services.sallyport, services.gate])
      expect(one).to.deep.include({ read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] });
  });

  it("the gate passes TLS on unread: the certificate that answers is the service's, and counts for the caller", async () => {
    await using appliance = await startTestAppliance();
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as { port: number }; // a TCP server has no other kind
    free.close();
    const gate = spawn(process.execPath, [join(deploy, "gate.ts"), `127.0.0.1:${port}`, new URL(appliance.url).host], { stdio: "ignore" });
    const through = `https://127.0.0.1:${port}/readyz`;
    const dispatcher = clientAgent(appliance.certsDir, "app");
    await until(async () => (await send(through, "GET", undefined, { dispatcher }).catch(() => undefined))?.status === 200);
    await dispatcher.destroy();
    gate.kill();
    await once(gate, "exit");
  });
});

describe("the egress test", () => {
  it("names a proxy in the environment", async () => {
    const { refused, ways } = await testEgress({ HTTPS_PROXY: "http://proxy.example", no_proxy: "x", http_proxy: "" });
    expect([refused, ways.filter((way) => way.startsWith("proxy"))]).to.deep.equal([false, ["proxy (HTTPS_PROXY)"]]);
  });

  it("stands in /readyz and in the log", async () => {
    const egress = { refused: false, ways: ["IPv4", "DNS"] };
    await using appliance = await startTestAppliance({ egress });
    const { status, body } = await appliance.call("GET", "/readyz");
    expect([status, body.egress]).to.deep.equal([200, egress]);
    expect(entriesOf(appliance.config.dataDir)[0]?.body.egress).to.deep.equal(egress);
  });
});
