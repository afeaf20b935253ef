# What a repository does on a file system with fs-verity. Run in the test VM; prints one line a check.
R=/sysroot/r
check() {
    name=$1 expected=$2
    shift 2
    cfsctl "$@" >/tmp/out 2>/tmp/err </guest/image
    code=$?
    if [ "$code" = "$expected" ]; then echo "ok: $name"; else echo "exit code $code: $name"; cat /tmp/out /tmp/err; fi
}
said() { if grep -q "$1" /tmp/out /tmp/err; then echo "ok: said '$1'"; else echo "not said: $1"; cat /tmp/out /tmp/err; fi; }

check "init requires fs-verity" 0 init --algorithm fsverity-sha256-12 $R
said "verity:    required"
check "an image is stored with fs-verity" 0 --repo $R import-image a
ID=$(sed 's/sha256://' /tmp/out)
OBJECT=$R/objects/$(echo "$ID" | cut -c1-2)/$(echo "$ID" | cut -c3-)
check "the kernel's digests are what the names say" 1 --repo $R fsck
said "objects: 1/1 ok"
check "the repository requires fs-verity" 0 --repo $R --require-verity images

cp "$OBJECT" /sysroot/copy && rm "$OBJECT" && cp /sysroot/copy "$OBJECT"
check "an object without fs-verity is found" 1 --repo $R fsck
said "object-verity-missing"
check "it is not read" 1 --repo $R image-objects "$ID"
said "has no fs-verity"
check "it is read on demand" 0 --repo $R --insecure image-objects "$ID"
check "nothing is collected while it is a root" 1 --repo $R gc
check "storing it again heals it" 0 --repo $R import-image a
check "it is read again" 0 --repo $R image-objects "$ID"

ln -s "../objects/$(echo "$ID" | cut -c1-2)/$(echo "$ID" | cut -c3-)" $R/images/0000
check "a name that is not the digest is refused" 1 --repo $R image-objects 0000
rm $R/images/0000

rm $R/meta.json
check "a repository without meta.json is read" 1 --repo $R fsck --metadata-only
said "meta.json: absent"
check "writing gives it one" 0 --repo $R import-image a
said "wrote one for fsverity-sha256-12"
check "with fs-verity, as its objects have" 0 --repo $R --require-verity gc -n
rm $R/meta.json
check "so does init --ensure" 0 init --ensure --algorithm fsverity-sha256-12 $R
check "with fs-verity too" 0 --repo $R --require-verity gc -n

check "an insecure repository is made" 0 init --insecure --algorithm fsverity-sha256-12 /sysroot/i
check "its objects get fs-verity all the same" 0 --repo /sysroot/i import-image a
check "but it does not require it" 1 --repo /sysroot/i --require-verity gc -n
rm -r $R/images
check "objects are collected" 0 --repo $R gc
said "Objects: 1 removed (16384 bytes)"

mount -o remount,ro /sysroot
check "a read-only repository is read" 0 --repo /sysroot/i gc -n
check "and not written to" 1 --repo /sysroot/i gc
said "read-only file system"
