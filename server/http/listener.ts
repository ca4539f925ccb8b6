import type { X509Certificate } from "node:crypto";
import type { RequestListener, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { type Socket, Server as SocketServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { type Identity, identityByRule, identityOf } from "../../certs/identity.ts";
import { revokedSerials } from "../../certs/register.ts";
import { issuersIn, type Standing, standings } from "../../certs/standing.ts";
import { readTlsMaterial, type TlsMaterial } from "../../certs/tls-material.ts";
import type { Config } from "../config.ts";
import type { Events } from "../events.ts";

const checkEveryMs = 500;

/** Connections that have shown no certificate yet; one more ends the oldest, so that nobody can keep callers out without one. */
const handshakesMax = 256;

/** Nothing was asked for so long: then whoever keeps a connection open is told that it ends. */
const quietMs = 100;

/** A connection that has ended its handshake. */
interface Connection {
  readonly certificate: X509Certificate;
  /** Name of the identity; empty when no rule names it. */
  readonly holder: string;
}

interface ListenerSettings {
  readonly certsDir: string;
  readonly tls: Config["tls"];
  readonly connectionsMax: number;
}

/**
 * The TLS server: nobody reaches HTTP without a certificate, of our CAs or of one in `trust/`, that is neither expired nor revoked. New certificate files are taken up
 * while streams go on; the sockets of a certificate that is revoked are closed.
 */
export class Listener {
  readonly server: Server;
  readonly #settings: ListenerSettings;
  readonly #events: Events;
  readonly #sockets = new Map<TLSSocket, Connection>();
  /** Connections that have not ended their handshake, by whom they come from. */
  readonly #shakingHands = new Map<string, Socket>();
  /** Of requests that are being answered. */
  readonly #responses = new Set<ServerResponse>();
  readonly #check: NodeJS.Timeout;
  #draining = false;
  #material: TlsMaterial;
  #issuersOf: ReturnType<typeof issuersIn>;
  #standingOf: (certificate: X509Certificate) => Standing;
  #revoked: ReadonlySet<string>;
  #complaint = "";

  constructor(settings: ListenerSettings, events: Events, handler: RequestListener) {
    this.#settings = settings;
    this.#events = events;
    this.#material = readTlsMaterial(settings.certsDir);
    this.#issuersOf = issuersIn(this.#material.ca);
    this.#standingOf = standings(this.#material, this.#issuersOf);
    this.#revoked = revokedSerials(settings.certsDir);
    this.server = createServer(
      {
        ...contextOf(this.#material, settings),
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: 5_000,
        maxHeaderSize: 16_384,
      },
      handler,
    );
    this.server.on("connection", (socket: Socket) => {
      const from = originOf(socket);
      this.#shakingHands.set(from, socket);
      if (this.#shakingHands.size > handshakesMax) this.#shakingHands.values().next().value?.destroy();
      socket.once("close", () => this.#shakingHands.delete(from));
    });
    this.server.prependListener("request", (_request, response: ServerResponse) => {
      this.#responses.add(response);
      response.once("close", () => this.#responses.delete(response));
      if (this.#draining) closeAfter(response);
    });
    this.server.on("secureConnection", (socket: TLSSocket) => this.#connected(socket));
    this.server.on("tlsClientError", (error: NodeJS.ErrnoException) => events.tlsRefused({ code: error.code ?? "unknown" }));
    this.#check = setInterval(() => this.#look(), checkEveryMs).unref();
  }

  /** Takes up changed files, and looks at the clock. */
  #look(): void {
    this.#reload();
    if (this.#settings.tls.expired_streams === "end") this.#endExpired();
  }

  /** Takes up changed certificate files. Files that do not fit together are refused, and the old ones stay; what is revoked here counts all the same. */
  #reload(): void {
    try {
      const revoked = revokedSerials(this.#settings.certsDir);
      if (revoked.size !== this.#revoked.size || !revoked.isSubsetOf(this.#revoked)) {
        this.#revoked = revoked;
        this.#events.revocationsChanged({ revoked: revoked.size, ended: this.#endRevoked() });
      }
      const material = readTlsMaterial(this.#settings.certsDir);
      this.#complaint = "";
      if (material.fingerprint === this.#material.fingerprint) return;
      this.server.setSecureContext(contextOf(material, this.#settings));
      if (material.ca !== this.#material.ca) this.#issuersOf = issuersIn(material.ca);
      this.#standingOf = standings(material, this.#issuersOf);
      this.#material = material;
      this.#events.tlsChanged();
      const ended = this.#endRevoked();
      if (ended > 0) this.#events.revocationsChanged({ revoked: this.#revoked.size, ended });
    } catch (error) {
      const complaint = (error as Error).message;
      if (complaint !== this.#complaint) this.#events.failed({ error });
      this.#complaint = complaint;
    }
  }

  /** Who is at the other end, asked at every request: a connection outlives what was true when it began. Throws when it is nobody who may call now. */
  identityOf(socket: TLSSocket): Identity {
    return this.identityBy(this.#sockets.get(socket)?.certificate ?? socket.getPeerX509Certificate());
  }

  /** The same for a certificate that was shown some time ago. */
  identityBy(certificate: X509Certificate | undefined): Identity {
    if (certificate === undefined || this.#refuses(certificate)) throw new Error("The certificate does not count any more.");
    return this.#standingOf(certificate).issuer === "ours"
      ? identityOf(certificate)
      : identityByRule(certificate, this.#settings.tls.identities);
  }

  /**
   * Takes no further connection (those that come wait in the socket, if somebody else holds it, too), and lets the answers that are being written end,
   * for `graceMs` at most. A request that is on its way on a connection that is there is still answered, and told that it was the last one.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    // The TLS server's own `close` would also end connections on which a request may be on its way.
    SocketServer.prototype.close.call(this.server);
    for (const response of this.#responses) closeAfter(response);
    const until = performance.now() + graceMs;
    for (let busyMs = performance.now(); performance.now() < Math.min(until, busyMs + quietMs); await pause(10)) {
      if (this.#responses.size > 0) busyMs = performance.now();
      else if (this.#sockets.size + this.#shakingHands.size === 0) return;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#check);
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#shakingHands.values()) socket.destroy();
    // Responses that are being written get a moment; connections without one are closed at once.
    const idle = setInterval(() => this.server.closeIdleConnections(), 20);
    const rest = setTimeout(() => this.server.closeAllConnections(), 1_000);
    await closed;
    clearInterval(idle);
    clearTimeout(rest);
  }

  /** Ends what is revoked here, and what another CA has on its list; returns how many. `retire` lists CAs of ours, and lets the streams of their clients end by themselves. */
  #endRevoked(): number {
    const ended = [...this.#sockets].filter(([socket, { certificate }]) => {
      if (socket.destroyed) return false;
      const { issuer, isListed } = this.#standingOf(certificate);
      return this.#revoked.has(certificate.serialNumber) || (issuer === "foreign" && isListed);
    });
    for (const [socket] of ended) socket.destroy();
    return ended.length;
  }

  #endExpired(): void {
    for (const [socket, { certificate }] of this.#sockets) if (isExpired(certificate)) socket.destroy();
  }

  #connected(socket: TLSSocket): void {
    this.#shakingHands.delete(originOf(socket));
    const certificate = socket.getPeerX509Certificate();
    // A resumed session skips the checks against the revocation lists and the clock.
    const isRefused = certificate === undefined || this.#refuses(certificate);
    const connection = isRefused ? undefined : { certificate, holder: this.#holderOf(certificate) };
    if (connection === undefined || !this.#hasPlaceFor(connection.holder)) {
      socket.destroy();
      return;
    }
    this.#sockets.set(socket, connection);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** When all places are taken, whoever holds most gives one to a newcomer that holds fewer, an idle one first: else one certificate could keep everybody out. */
  #hasPlaceFor(holder: string): boolean {
    if (this.#sockets.size < this.#settings.connectionsMax) return true;
    const held = Map.groupBy(this.#sockets.keys(), (socket) => this.#sockets.get(socket)?.holder);
    const most = [...held.values()].reduce((one, other) => (other.length > one.length ? other : one));
    // Fewer afterwards, too: else two would take the same place from each other in turns.
    if (most.length - 1 <= (held.get(holder)?.length ?? 0)) return false;
    const busy = new Set([...this.#responses].map(({ socket }) => socket));
    const given = most.find((socket) => !busy.has(socket)) ?? most[0];
    if (given === undefined) return false;
    // It closes later, and must not be given a second time.
    this.#sockets.delete(given);
    given.destroy();
    return true;
  }

  #holderOf(certificate: X509Certificate): string {
    try {
      return this.identityBy(certificate).name;
    } catch {
      return "";
    }
  }

  /** Revoked, expired, issued by a CA that was retired since, or of one whose list has run out. */
  #refuses(certificate: X509Certificate): boolean {
    const { issuer, isListed, listedUntilMs } = this.#standingOf(certificate);
    const isRevoked = isListed || this.#revoked.has(certificate.serialNumber);
    return issuer === "unknown" || isRevoked || listedUntilMs < Date.now() || isExpired(certificate);
  }
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader("Connection", "close");
}

function isExpired({ validTo }: X509Certificate): boolean {
  return new Date(validTo).getTime() < Date.now();
}

function originOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function contextOf({ ca, crl, cert, key }: TlsMaterial, { tls }: ListenerSettings) {
  return { ca, crl: [...crl], cert, key, minVersion: tls.version_min };
}
