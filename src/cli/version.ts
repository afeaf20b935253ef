import { version } from "../../package.json" with { type: "json" };

/** `cfsctl 1.2.3` */
export function versionLine(): string {
  return `cfsctl ${version}`;
}
