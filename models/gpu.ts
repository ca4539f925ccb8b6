import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Builds of llama.cpp that compute on a GPU. */
const gpuBuilds = ["cuda", "vulkan"] as const;
export type GpuBuild = (typeof gpuBuilds)[number];

/** `auto`: what is here, or the CPU. */
export const gpuChoices = ["auto", ...gpuBuilds, "off"] as const;
export type GpuChoice = (typeof gpuChoices)[number];

/** A GPU that this host's kernel has a driver for. Whether llama.cpp can use it shows when it is opened. */
interface HostGpu {
  readonly build: GpuBuild;
  /** The driver, in words. */
  readonly driver: string;
}

/** The fastest first. */
export function hostGpus(): HostGpu[] {
  const nvidia = existsSync("/proc/driver/nvidia/version") ? readFileSync("/proc/driver/nvidia/version", "utf8") : undefined;
  const version = /Kernel Module\D*([\d.]+)/u.exec(nvidia ?? "")?.[1] ?? "of an unknown version";
  const nodes = globSync("/dev/dri/renderD*");
  return [
    ...(nvidia === undefined ? [] : [{ build: "cuda" as const, driver: `NVIDIA driver ${version}` }]),
    ...(nodes.length === 0 ? [] : [{ build: "vulkan" as const, driver: nodes.join(", ") }]),
  ];
}

/** Whether this installation carries the build. */
export function hasBuild(build: GpuBuild): boolean {
  return existsSync(fileURLToPath(new URL(`../node_modules/${buildPackage(build)}/package.json`, import.meta.url)));
}

function buildPackage(build: GpuBuild): string {
  return `@node-llama-cpp/linux-${process.arch}-${build}`;
}
