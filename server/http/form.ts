import { Busboy } from "@fastify/busboy";
import type { Request } from "express";
import { Fault } from "../fault.ts";
import { ClientGone } from "./running-calls.ts";

/** Of a form beside its file: boundaries and fields. */
const overheadBytes = 65_536;

interface Takes {
  readonly bytesMax: number;
  /** The file begins. Returns what takes its pieces as they come. */
  file(name: string): (piece: Buffer) => void;
}

/** Reads a form (multipart/form-data, RFC 7578) with one file in its field `file`; returns the other fields. */
export async function readForm(request: Request, { bytesMax, file }: Takes): Promise<Record<string, string>> {
  const { "content-type": type = "", "content-encoding": encoding } = request.headers;
  if (!/^multipart\/form-data\s*;/iu.test(type) || encoding !== undefined)
    throw new Fault("unsupported_media_type", "Send a form: Content-Type: multipart/form-data, not compressed.");
  if (Number(request.headers["content-length"] ?? 0) > bytesMax + overheadBytes)
    throw new Fault("body_too_large", `The file is larger than the ${bytesMax} bytes that are taken.`);
  const fields: Record<string, string> = {};
  let files = 0;
  await new Promise<void>((resolve, reject) => {
    const limits = { files: 1, fields: 10, parts: 11, fieldSize: 1_000, headerPairs: 20, headerSize: 8_192 };
    const form = formOf({ headers: { ...request.headers, "content-type": type }, limits });
    const end = (fault: unknown): void => {
      request.unpipe(form).resume();
      reject(fault);
    };
    form.on("file", (field, stream, name) => {
      files += 1;
      if (field !== "file") end(new Fault("unknown_parameter", "The file goes into the field `file`.", { param: "file" }));
      const take = file(name);
      stream.on("data", (piece: Buffer) => {
        try {
          take(piece);
        } catch (fault) {
          end(fault);
        }
      });
    });
    form.on("field", (name, value) => {
      fields[name] = value;
    });
    for (const event of ["partsLimit", "filesLimit", "fieldsLimit"] as const)
      form.on(event, () => end(new Fault("invalid_value", "The form has too many parts.")));
    form.once("error", () => end(new Fault("invalid_value", "The form is not whole, or not well-formed.")));
    form.once("finish", resolve);
    request.once("close", () => {
      if (!request.complete) reject(new ClientGone());
    });
    request.pipe(form);
  });
  if (files === 0) throw new Fault("missing_parameter", "`file` is missing.", { param: "file" });
  return fields;
}

function formOf(config: ConstructorParameters<typeof Busboy>[0]): InstanceType<typeof Busboy> {
  try {
    return new Busboy(config);
  } catch {
    throw new Fault("invalid_value", "The form's Content-Type names no boundary.");
  }
}
