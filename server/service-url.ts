import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { isThere } from "../certs/is-there.ts";
import { writeFileWhole } from "../certs/write-file.ts";
import type { Config } from "./config.ts";

const fileIn = (dataDir: string): string => join(dataDir, "service.url");

/** Notes where the service of a data directory listens: systemd's socket, or a port that was free, stands in no configuration. Returns the URL. */
export function noteServiceUrl(dataDir: string, { address, port }: AddressInfo): string {
  const url = urlOf(address, port);
  writeFileWhole(fileIn(dataDir), `${url}\n`, 0o600);
  return url;
}

/** Where a program on this host reaches the service: as it noted when it began to listen, or else as the configuration says. */
export function serviceUrl({ dataDir, listen }: Config): string {
  const noted = isThere(fileIn(dataDir)) ? readFileSync(fileIn(dataDir), "utf8").trim() : urlOf(listen.host, listen.port);
  return noted.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}

function urlOf(host: string, port: number): string {
  return `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
