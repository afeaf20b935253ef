import type { CommandSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";
import { REGISTRY_OPTIONS } from "./registry.ts";

/** Commands about deltas between container images. */
export const OCI_DELTA_COMMAND: CommandSpec = {
  name: "delta",
  summary: "Make deltas between container images and look at them",
  subcommands: [
    {
      name: "create",
      summary: "Make a delta, by which who has one image gets another with a small download",
      description:
        "SOURCE and TARGET are images in the repository, or whatever `oci pull` takes; layers that are not in the " +
        "repository are unpacked below $TMPDIR, else /var/tmp, for a while. DEST is " +
        "oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker://NAME[:TAG]. `oci pull` takes the delta for the " +
        "image. The same images give the same delta. Without a tag, a registry has the delta only as a referrer of " +
        "TARGET.",
      positionals: [
        { name: "SOURCE", completes: "source", help: "The image that users have" },
        { name: "TARGET", completes: "source", help: "The image that they are to get" },
        { name: "DEST", completes: "destination", help: "Where to put the delta" },
      ],
      options: [
        {
          name: "format",
          kind: "enum",
          choices: [
            { value: "v1", help: "tar-diff 1, which every tool reads" },
            { value: "v2", help: "tar-diff 2: also patches that zstd has made, where they are smaller" },
          ],
          default: "v1",
          help: "How to write what has changed in a layer",
        },
        {
          name: "compression-level",
          kind: "int",
          min: 1,
          max: 19,
          value: "N",
          help: "Level of zstd; unless given, the higher the less there is to compress",
        },
        { name: "tag", kind: "string", value: "TAG", notEmpty: true, help: "Tag for DEST, when it has none" },
        {
          name: "platform",
          kind: "string",
          value: "OS/ARCH[/VARIANT]",
          help: "Pick the images for this platform; that of this machine unless given",
        },
        {
          name: "signature-policy",
          kind: "string",
          value: "FILE",
          notEmpty: true,
          help: "Use this containers-policy.json(5) instead of the user's or the system's",
        },
        ...REGISTRY_OPTIONS,
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/delta-create.ts"),
    },
    {
      name: "inspect",
      summary: "Show what a delta holds",
      description:
        "For each layer, how it is transported, how large that is, and which part of it is copied from the source " +
        "image, patched or new. Everything of the delta is read; neither image is needed.",
      positionals: [
        { name: "DELTA", completes: "source", help: "Where the delta is, as `oci pull` takes it" },
      ],
      options: [
        {
          name: "signature-policy",
          kind: "string",
          value: "FILE",
          notEmpty: true,
          help: "Use this containers-policy.json(5) instead of the user's or the system's",
        },
        ...REGISTRY_OPTIONS,
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/delta-inspect.ts"),
    },
  ],
};
