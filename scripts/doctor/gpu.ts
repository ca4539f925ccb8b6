import { hasBuild, hostGpus } from "../../models/gpu.ts";
import type { Config } from "../../server/config.ts";
import type { Diagnosis } from "./check.ts";

/** Whether language models get the GPU that is here. The service says at its start what it computes on. */
export function gpu({ engine: { gpu: choice } }: Config): Diagnosis {
  const here = hostGpus();
  const found = here.length === 0 ? "none here" : here.map(({ build, driver }) => `${driver} (${build})`).join("; ");
  if (choice === "off") return { state: "ok", detail: `${found}; engine.gpu is off: the CPU computes` };
  const wanted = choice === "auto" ? here.map(({ build }) => build) : [choice];
  const [usable] = wanted.filter((build) => hasBuild(build) && here.some((one) => one.build === build));
  if (usable !== undefined) return { state: "ok", detail: `${found}; engine.gpu is ${choice}: ${usable} is tried first` };
  if (here.length === 0 && choice === "auto") return { state: "ok", detail: `${found}; the CPU computes` };
  if (!here.some(({ build }) => wanted.includes(build)))
    return { state: "fail", detail: `${found}, and engine.gpu is ${choice}: install its driver, or set engine.gpu to auto or off` };
  const build = wanted.join(" or ");
  const detail = `${found}, and this installation carries no build of llama.cpp for it: make the bundle where engine.gpu is ${build}`;
  return { state: choice === "auto" ? "warn" : "fail", detail };
}
