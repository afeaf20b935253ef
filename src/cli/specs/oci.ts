import type { CommandSpec, PositionalSpec } from "../tree.ts";
import { BOOTABLE_OPTION, JSON_OPTION, XATTRS_OPTION } from "./common.ts";
import { DIFF_OPTIONS } from "./diff.ts";
import { MOUNT_OPTIONS } from "./mount.ts";
import { OCI_DELTA_COMMAND } from "./oci-delta.ts";
import { REGISTRY_OPTIONS } from "./registry.ts";

const IMAGE: PositionalSpec = {
  name: "IMAGE",
  completes: "container",
  help: "Tag, or digest of the manifest or config with or without '@' in front",
};

const CONFIG_VERITY: PositionalSpec = {
  name: "CONFIG_VERITY",
  optional: true,
  help: "Object of the config's splitstream: it is trusted, and layers are not verified again",
};

/** Commands about container images. */
export const OCI_COMMAND: CommandSpec = {
  name: "oci",
  summary: "Pull container images and look at those in the repository",
  subcommands: [
    {
      name: "pull",
      summary: "Bring an image into the repository",
      description:
        "Reads docker://NAME[:TAG][@DIGEST], oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], " +
        "docker-archive:FILE[:NAME:TAG|:@INDEX], dir:DIRECTORY and docker-daemon:NAME[:TAG]; " +
        "archives may be compressed with gzip or zstd. " +
        "Of a delta (an artifact of oci-delta), the image that it makes is brought in; the image that it was made from " +
        "has to be in the repository. " +
        "A name without a transport is one of a registry when it begins with a host, or when registries.conf knows it. " +
        "Everything is verified before it is linked, and the tag is written last. An image that is already there is " +
        "only checked for completeness; what is missing is brought back.",
      positionals: [
        { name: "IMAGE", completes: "source", help: "Where the image is" },
        { name: "NAME", optional: true, help: "Tag to give it; the text of IMAGE unless given" },
      ],
      options: [
        {
          name: "platform",
          kind: "string",
          value: "OS/ARCH[/VARIANT]",
          help: "Pick the image for this platform; that of this machine unless given",
        },
        {
          name: "all-platforms",
          kind: "boolean",
          help: "Pull the images for all platforms and keep their index; the tag names the one for --platform",
        },
        {
          name: "signature-policy",
          kind: "string",
          value: "FILE",
          notEmpty: true,
          help: "Use this containers-policy.json(5) instead of the user's or the system's",
        },
        {
          name: "keep-blobs",
          kind: "boolean",
          help: "Also keep the compressed layers as published, so that push gives back the same image digest",
        },
        {
          name: "delta",
          kind: "enum",
          choices: [
            { value: "never", help: "don't look for one; IMAGE itself may be one" },
            { value: "auto", help: "take one that is smaller than what is missing of the image" },
            { value: "require", help: "fail where there is no such delta" },
          ],
          default: "never",
          help: "Whether to look for a delta that makes the image from one that is in the repository",
          details:
            "Deltas refer to the image that they make: a registry or an OCI layout lists them. One that turns out " +
            "to be of no use is given up for the image, unless a delta is required.",
          conflicts: ["keep-blobs"],
        },
        {
          name: "referrers",
          kind: "boolean",
          help: "Also pull what refers to the image: signatures, lists of contents, other artifacts",
          details:
            "They get no tag and are kept as long as the image. With --all-platforms, also those of the index.",
        },
        {
          ...BOOTABLE_OPTION,
          help: "Make the bootable image too: /boot and /sysroot empty, SELinux labels set",
        },
        {
          name: "expected-digest",
          kind: "string",
          value: "HEX",
          help: "Instead of making the bootable image in the usual way, find the way that gives this digest",
          details:
            "Tries both choices of --xattrs and both formats, for boot loader entries of older releases.",
          requires: ["bootable"],
          conflicts: ["all-platforms"],
        },
        ...REGISTRY_OPTIONS,
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/pull.ts"),
    },
    {
      name: "images",
      summary: "List the tagged images",
      options: [JSON_OPTION],
      load: () => import("../commands/oci/images.ts"),
    },
    {
      name: "inspect",
      summary: "Show manifest, config and links of an image as JSON",
      positionals: [IMAGE],
      options: [
        {
          name: "manifest",
          kind: "boolean",
          help: "Only the manifest, byte for byte",
          conflicts: ["config"],
        },
        { name: "config", kind: "boolean", help: "Only the config, byte for byte" },
        {
          name: "summary",
          kind: "boolean",
          help: "For people instead: what it is, its layers, labels, images and referrers, a property a line",
          conflicts: ["manifest", "config"],
        },
      ],
      load: () => import("../commands/oci/inspect.ts"),
    },
    {
      name: "referrers",
      summary: "List what refers to an image: signatures, lists of contents, other artifacts",
      description:
        "In the repository these are the artifacts that were pulled, whose manifest names the image as its subject. " +
        "gc keeps them as long as the image. Where IMAGE is not in the repository, but could be pulled, its referrers " +
        "in that place are listed; an OCI layout or a registry can tell.",
      positionals: [{ ...IMAGE, help: `${IMAGE.help}; or where an image is` }],
      options: [
        {
          name: "artifact-type",
          kind: "string",
          value: "TYPE",
          notEmpty: true,
          help: "Only those of this type",
        },
        { name: "remote", kind: "boolean", help: "Don't look for IMAGE in the repository" },
        {
          name: "platform",
          kind: "string",
          value: "OS/ARCH[/VARIANT]",
          help: "For a place with several images: the one for this platform",
        },
        ...REGISTRY_OPTIONS,
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/referrers.ts"),
    },
    {
      name: "tag",
      summary: "Give an image another name",
      positionals: [
        {
          name: "MANIFEST_DIGEST",
          completes: "container",
          help: "Digest of a manifest in the repository, or another tag",
        },
        { name: "NAME", help: "The tag; must not begin with '@'" },
      ],
      load: () => import("../commands/oci/tag.ts"),
    },
    {
      name: "untag",
      summary: "Remove a tag; gc then removes what nothing else needs",
      positionals: [{ name: "NAME", completes: "tag", help: "The tag" }],
      load: () => import("../commands/oci/untag.ts"),
    },
    {
      name: "dump",
      summary: "Write the files of an image as a composefs dumpfile",
      positionals: [IMAGE, CONFIG_VERITY],
      options: [BOOTABLE_OPTION, XATTRS_OPTION],
      load: () => import("../commands/oci/dump.ts"),
    },
    {
      name: "compute-id",
      summary: "Print the digest that the image's EROFS image has",
      positionals: [IMAGE, CONFIG_VERITY],
      options: [BOOTABLE_OPTION, XATTRS_OPTION],
      load: () => import("../commands/oci/compute-id.ts"),
    },
    {
      name: "layer",
      summary: "Write a layer as tar, as dumpfile, or what is known about it as JSON",
      positionals: [{ name: "LAYER", completes: "layer", help: "Diff ID of the layer" }],
      options: [
        { name: "dumpfile", kind: "boolean", help: "One line an entry, in the order of the tar" },
        { ...JSON_OPTION, help: "Sizes and counts as JSON", conflicts: ["dumpfile"] },
      ],
      load: () => import("../commands/oci/layer.ts"),
    },
    {
      name: "import-layer",
      summary: "Import a layer from an uncompressed tar on stdin",
      positionals: [
        { name: "DIGEST", help: "Digest of the tar, which is verified" },
        { name: "NAME", optional: true, help: "Name below streams/refs to give it" },
      ],
      load: () => import("../commands/oci/import-layer.ts"),
    },
    {
      name: "diff",
      summary: "Compare the files of two images, or of an image and a directory",
      description:
        "EXPECTED and FOUND are images in the repository, directories, EROFS images or dumpfiles; what begins with '/' " +
        "or '.' is a path. Prints a line for each difference: entry, field, expected and found value, and the reason where one is " +
        "known. Content is compared by fs-verity digest. Exits with 1 when there are differences.",
      positionals: [
        { name: "EXPECTED", completes: "comparable", help: "Image or directory that is right" },
        { name: "FOUND", completes: "comparable", help: "Image or directory that is compared with it" },
      ],
      options: DIFF_OPTIONS,
      load: () => import("../commands/oci/diff.ts"),
    },
    {
      name: "mount",
      summary: "Mount the EROFS image that was made of an image",
      positionals: [IMAGE, { name: "MOUNTPOINT", help: "The directory to mount it on" }],
      options: [
        { name: "bootable", kind: "boolean", help: "Mount the bootable form, if there is one" },
        ...MOUNT_OPTIONS,
      ],
      load: () => import("../commands/oci/mount.ts"),
    },
    {
      name: "push",
      summary: "Publish an image: in a registry, an OCI layout or an archive",
      description:
        "DEST is docker://NAME[:TAG], oci:DIRECTORY[:TAG] or oci-archive:FILE[:TAG]. Layers are made of what is in the " +
        "repository and verified. Those that were pulled with --keep-blobs, or were never compressed, are published " +
        "byte for byte, and the image keeps its digest when all are; the others are compressed, and the manifest that " +
        "then stands for the image names the original one in an annotation.",
      positionals: [IMAGE, { name: "DEST", completes: "destination", help: "Where to publish it" }],
      options: [
        {
          name: "all-platforms",
          kind: "boolean",
          help: "Publish the images of all platforms, and the index, that were pulled with this option",
        },
        {
          name: "compression",
          kind: "enum",
          choices: [
            { value: "gzip", help: "understood by everything" },
            { value: "zstd", help: "smaller and faster" },
            { value: "none" },
          ],
          default: "gzip",
          help: "How to compress layers that were not kept as they were pulled",
        },
        {
          name: "compression-level",
          kind: "int",
          min: 1,
          max: 22,
          value: "N",
          help: "1 to 9 for gzip, 1 to 22 for zstd; 6 and 3 unless given",
        },
        {
          name: "mount-from",
          kind: "list",
          value: "PATH",
          help: "Repository of the same registry that may have the layers already; may be repeated",
        },
        {
          name: "digestfile",
          kind: "string",
          value: "FILE",
          notEmpty: true,
          help: "Write the digest of the published manifest to this file",
        },
        ...REGISTRY_OPTIONS,
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/push.ts"),
    },
    OCI_DELTA_COMMAND,
    {
      name: "copy",
      summary: "Copy an image from another repository",
      description:
        "Brings the image into the repository that --repo names. Layers that are there already are not read; the " +
        "others are copied object by object and verified, down to their diff IDs. The repositories may have different " +
        "digest algorithms.",
      positionals: [IMAGE],
      options: [
        {
          name: "from",
          kind: "string",
          value: "REPO",
          required: true,
          notEmpty: true,
          help: "The repository that has the image",
        },
        { name: "name", kind: "string", notEmpty: true, help: "Tag to give it" },
        {
          name: "zerocopy",
          kind: "boolean",
          help: "Share the content of files: reflinks, else hard links, else copies",
        },
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/copy.ts"),
    },
    {
      name: "seal",
      summary: "Record in an image which EROFS image belongs to it",
      description:
        "Writes the digest of the EROFS image as label containers.composefs.fsverity into a copy of the config, and " +
        "tags the image with this config. Layers stay the same; the digest of the image changes. A sealed image is " +
        "only tagged by pull when it can be made with this digest, and only what the seal means is mounted.",
      positionals: [IMAGE],
      options: [
        {
          name: "tag",
          kind: "string",
          value: "NAME",
          notEmpty: true,
          help: "Tag for the sealed image; that of the image unless given",
        },
        { ...BOOTABLE_OPTION, help: "Seal the bootable image: /boot and /sysroot empty, SELinux labels set" },
        JSON_OPTION,
      ],
      load: () => import("../commands/oci/seal.ts"),
    },
    {
      name: "fsck",
      summary: "Check images and the repository for damage",
      positionals: [
        {
          name: "IMAGE",
          completes: "container",
          optional: true,
          help: "Check only this tag or manifest instead of all tags",
        },
      ],
      options: [
        { ...JSON_OPTION, help: "Print JSON; the exit code is then 0 also when damage is found" },
        { name: "strict-exit", kind: "boolean", help: "With --json too, exit with 1 when damage is found" },
      ],
      load: () => import("../commands/oci/fsck.ts"),
    },
    {
      name: "linked-erofs-images",
      summary: "List the EROFS images that were made of the same container image, as JSON",
      positionals: [{ name: "IMAGE_ID", completes: "image-id", help: "Digest of one of them" }],
      load: () => import("../commands/oci/linked-erofs-images.ts"),
    },
  ],
};
