import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Classifiers } from "../classifiers/classifier.ts";
import type { Engine } from "../models/engine.ts";
import { AuditLog } from "./audit/audit-log.ts";
import { BatchStore } from "./batches/batch-store.ts";
import { Batches } from "./batches/batches.ts";
import type { Config } from "./config.ts";
import type { Egress } from "./egress.ts";
import { Events } from "./events.ts";
import { createApp, type Service } from "./http/app.ts";
import { lineEndpoints } from "./http/line-endpoints.ts";
import { Listener } from "./http/listener.ts";
import { RunningCalls } from "./http/running-calls.ts";
import { MeteredEngine } from "./metered-engine.ts";
import { Policies } from "./policy/policies.ts";
import { noteServiceUrl } from "./service-url.ts";

export interface Appliance extends AsyncDisposable {
  /** Base URL without a path. */
  readonly url: string;
}

/** What judges and answers. Its opener owns it, and ends it after the appliance. */
export interface Models {
  /** The first is the default. */
  readonly engines: readonly Engine[];
  readonly classifiers: Classifiers;
}

/** Puts the parts together and listens. */
export async function startAppliance(
  config: Config,
  { engines, classifiers }: Models,
  egress: Egress,
  events = new Events(),
): Promise<Appliance> {
  await using parts = new AsyncDisposableStack();
  const policies = parts.use(new Policies(config.policy, classifiers, events));
  const { name, sha256 } = policies.main;
  const models = engines.map((engine) => engine.model);
  const audit = AuditLog.open(config.dataDir, {
    models: models.map(({ id, sha256 }) => ({ id, sha256 })),
    policy: { name, sha256 },
    egress,
  });
  parts.defer(() => audit.close());
  const running = new RunningCalls(config.limits.answer_timeout_ms);
  const batches = new Batches(
    new BatchStore(config.dataDir, config.batches.retention_days),
    {
      callerBy: (certificate) => listener.identityBy(new X509Certificate(certificate)),
      limits: { ...config.limits, ...config.batches },
    },
    events,
  );
  parts.use(batches);
  const service: Service = {
    limits: config.limits,
    engines: new Map(engines.map((engine) => [engine.model.id, new MeteredEngine(engine, events)])),
    classifiers,
    egress,
    policies,
    audit,
    batches,
    running,
    isBackground: false,
    events,
    startedAt: Date.now(),
    identityOf: (socket) => listener.identityOf(socket),
  };
  const listener = new Listener(
    { certsDir: join(config.dataDir, "certs"), tls: config.tls, connectionsMax: config.limits.connections_max },
    events,
    createApp(service),
  );
  parts.defer(() => listener.close());
  await listen(listener.server, config.listen);
  const url = noteServiceUrl(config.dataDir, listener.server.address() as AddressInfo); // a TCP server has no other kind
  events.started({ url, models: models.map(({ id }) => id), policy: name });
  events.egressTested(egress);
  parts.defer(async () => {
    events.stopping({ running: running.count });
    await listener.drain(config.limits.shutdown_grace_ms);
    await running.close();
  });
  batches.start(lineEndpoints(service));
  const owned = parts.move();
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function listen(server: Server, { host, port }: Config["listen"]): Promise<void> {
  try {
    const fd = inheritedSocket();
    if (fd === undefined) server.listen(port, host);
    else server.listen({ fd });
    await once(server, "listening");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException; // what `listen` fails with
    throw new Error(
      code === "EADDRINUSE"
        ? `Port ${port} on ${host} is taken. Set PORT to another one.`
        : `Can't listen on ${host}, port ${port}: ${message}.`,
      { cause },
    );
  }
}

/** A socket that was opened before this process gave its network away: systemd's protocol (sd_listen_fds(3)), one socket. */
function inheritedSocket(): number | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = process.env;
  if (Number(pid) !== process.pid) return undefined;
  if (count !== "1") throw new Error(`LISTEN_FDS is ${count}: the service takes one socket.`);
  return 3;
}
