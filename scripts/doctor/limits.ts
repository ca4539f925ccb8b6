import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Diagnosis } from "./check.ts";

/** What llama.cpp and the ONNX Runtime are fast with, by architecture. */
const wanted: Readonly<Record<string, readonly string[]>> = { x64: ["avx", "avx2", "fma", "f16c"], arm64: ["asimd", "asimdhp", "asimddp"] };
const telling: Readonly<Record<string, readonly string[]>> = {
  x64: ["avx512f", "avx512_vnni", "avx_vnni", "amx_int8"],
  arm64: ["i8mm", "sve", "bf16"],
};

const openFilesMin = 4_096;
const processesMin = 256;

export function cpu(): Diagnosis {
  const text = readFileSync("/proc/cpuinfo", "utf8");
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.+)$/mu.exec(text)?.[1] ?? "").split(" "));
  const missing = (wanted[process.arch] ?? []).filter((flag) => !flags.has(flag));
  const has = [...(wanted[process.arch] ?? []), ...(telling[process.arch] ?? [])].filter((flag) => flags.has(flag));
  const model = /^model name\s*:\s*(.+)$/mu.exec(text)?.[1] ?? process.arch;
  const found = `${model}: ${has.join(", ") || "none of the features looked for"}`;
  if (missing.length === 0) return { state: "ok", detail: found };
  return {
    state: "warn",
    detail: `${found}; it lacks ${missing.join(", ")}, so answers are several times slower: pass the host's CPU through to this machine, or take a newer one`,
  };
}

export function ulimits(): Diagnosis {
  const text = readFileSync("/proc/self/limits", "utf8");
  const soft = (row: string): number => {
    const value = new RegExp(`^${row}\\s+(\\S+)`, "mu").exec(text)?.[1];
    return value === "unlimited" || value === undefined ? Number.POSITIVE_INFINITY : Number(value);
  };
  const [files, processes, core] = [soft("Max open files"), soft("Max processes"), soft("Max core file size")] as [number, number, number]; // three in, three out
  const told = (value: number): string => (value === Number.POSITIVE_INFINITY ? "unlimited" : String(value));
  const found = `open files ${told(files)}, processes ${told(processes)}, core dumps ${told(core)}`;
  const wrong = [
    ...(files < openFilesMin ? [`raise open files (ulimit -n, LimitNOFILE=) to ${openFilesMin} or more`] : []),
    ...(processes < processesMin ? [`raise processes (ulimit -u, LimitNPROC=) to ${processesMin} or more`] : []),
    ...(core > 0 ? ["switch core dumps off (ulimit -c 0, LimitCORE=0): one would hold prompts and keys"] : []),
  ];
  return wrong.length === 0 ? { state: "ok", detail: found } : { state: "warn", detail: `${found}: ${wrong.join("; ")}` };
}

/** Limits of the control group (version 2) that this process is in. */
export function cgroup(): Diagnosis {
  const path = /^0::(.*)$/mu.exec(existsSync("/proc/self/cgroup") ? readFileSync("/proc/self/cgroup", "utf8") : "")?.[1];
  const read = (file: string): string | undefined => {
    const own = [join("/sys/fs/cgroup", path ?? "", file), join("/sys/fs/cgroup", file)].find((one) => existsSync(one));
    return own === undefined ? undefined : readFileSync(own, "utf8").trim();
  };
  const [quota = "max", period = "100000"] = (read("cpu.max") ?? "max").split(" ");
  const pids = read("pids.max") ?? "max";
  const cores = quota === "max" ? availableParallelism() : Number(quota) / Number(period);
  const found = `memory ${read("memory.max") ?? "max"}, cpu ${quota === "max" ? "max" : `${cores} cores`}, tasks ${pids}`;
  const wrong = [
    ...(cores < 1 ? ["give it one whole core at least (CPUQuota=)"] : []),
    ...(quota !== "max" && cores < availableParallelism() / 2
      ? [
          `set engine.threads to ${Math.max(1, Math.floor(cores))}: by default one thread runs on each of ${availableParallelism()} cores, and most would be held back`,
        ]
      : []),
    ...(pids !== "max" && Number(pids) < processesMin ? [`raise TasksMax= to ${processesMin} or more`] : []),
  ];
  return wrong.length === 0 ? { state: "ok", detail: found } : { state: "warn", detail: `${found}: ${wrong.join("; ")}` };
}
