import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { readTlsMaterial, type TlsMaterial } from "../../certs/tls-material.ts";
import type { Events } from "../events.ts";

const checkEveryMs = 500;

interface ListenerSettings {
  readonly certsDir: string;
  readonly versionMin: "TLSv1.2" | "TLSv1.3";
  readonly connectionsMax: number;
}

/**
 * The TLS server: nobody reaches HTTP without a certificate of our CA that is neither expired nor revoked. New certificate files are taken up
 * while streams go on; the sockets of a serial that is revoked are closed.
 */
export class Listener {
  readonly server: Server;
  readonly #settings: ListenerSettings;
  readonly #events: Events;
  readonly #sockets = new Set<TLSSocket>();
  readonly #check: NodeJS.Timeout;
  #material: TlsMaterial;
  #complaint = "";

  constructor(settings: ListenerSettings, events: Events, handler: RequestListener) {
    this.#settings = settings;
    this.#events = events;
    this.#material = readTlsMaterial(settings.certsDir);
    this.server = createServer(
      {
        ...contextOf(this.#material, settings),
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: 10_000,
        maxHeaderSize: 16_384,
      },
      handler,
    );
    this.server.maxConnections = settings.connectionsMax;
    this.server.on("secureConnection", (socket: TLSSocket) => this.#connected(socket));
    this.server.on("tlsClientError", (error: NodeJS.ErrnoException) => events.tlsRefused({ code: error.code ?? "unknown" }));
    this.#check = setInterval(() => this.reload(), checkEveryMs).unref();
  }

  /** Takes up changed certificate files. Files that do not fit together are refused, and the old ones stay. */
  reload(): void {
    try {
      const material = readTlsMaterial(this.#settings.certsDir);
      this.#complaint = "";
      if (material.fingerprint === this.#material.fingerprint) return;
      this.server.setSecureContext(contextOf(material, this.#settings));
      this.#material = material;
      const revoked = [...this.#sockets].filter((socket) => this.#refuses(socket));
      for (const socket of revoked) socket.destroy();
      this.#events.tlsChanged({ revoked: material.revokedSerials.size, ended: revoked.length });
    } catch (error) {
      const complaint = (error as Error).message;
      if (complaint !== this.#complaint) this.#events.failed({ error });
      this.#complaint = complaint;
    }
  }

  isRevoked(serial: string): boolean {
    return this.#material.revokedSerials.has(serial);
  }

  async close(): Promise<void> {
    clearInterval(this.#check);
    const closed = new Promise((resolve) => this.server.close(resolve));
    // Responses that are being written get a moment; connections without one are closed at once.
    const idle = setInterval(() => this.server.closeIdleConnections(), 20);
    const rest = setTimeout(() => this.server.closeAllConnections(), 1_000);
    await closed;
    clearInterval(idle);
    clearTimeout(rest);
  }

  #connected(socket: TLSSocket): void {
    // A resumed session skips the check against the revocation list.
    if (this.#refuses(socket)) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #refuses(socket: TLSSocket): boolean {
    return this.isRevoked(socket.getPeerCertificate().serialNumber);
  }
}

function contextOf({ ca, crl, cert, key }: TlsMaterial, { versionMin }: ListenerSettings) {
  return { ca, crl, cert, key, minVersion: versionMin };
}
