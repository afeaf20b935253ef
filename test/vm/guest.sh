# Runs in the VM, started by test/vm/run. /guest has tree/ (files) and image/ (an image of them).
passed=0
failed=0
log=/tmp/log

pass() { passed=$((passed + 1)); echo "ok $1"; }
fail() {
    failed=$((failed + 1))
    echo "not ok $1"
    sed 's/^/    /' $log
}

# succeeds NAME COMMAND...: the command must succeed.
succeeds() {
    local name=$1
    shift
    if "$@" >$log 2>&1; then pass "$name"; else fail "$name"; fi
}

# refuses NAME TEXT COMMAND...: the command must fail with exit code 1 and say TEXT.
refuses() {
    local name=$1 text=$2 code
    shift 2
    "$@" >$log 2>&1
    code=$?
    echo "(exit code $code)" >>$log
    if [ $code = 1 ] && grep -qF -- "$text" $log; then pass "$name"; else fail "$name"; fi
}

is_mounted() { grep -q " $1 " /proc/mounts; }
# Nothing of the file system is cached afterwards; it must not be in use.
remount_disk() {
    while is_mounted /mnt; do umount /mnt; done
    umount /sysroot && mount -t ext4 /dev/vda /sysroot
}
# Changes a byte of a file on the raw disk, where no file system notices: flip FILE OFFSET
flip() {
    local file=$1 offset=$2 block at byte
    block=$(debugfs -R "bmap ${file#/sysroot} $((offset / 4096))" /dev/vda 2>/dev/null | awk '{ print $NF; exit }')
    remount_disk || return 1
    umount /sysroot
    at=$((block * 4096 + offset % 4096))
    byte=$(dd if=/dev/vda bs=1 skip=$at count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of=/dev/vda bs=1 seek=$at count=1 conv=notrunc 2>/dev/null
    sync
    echo 3 >/proc/sys/vm/drop_caches
    mount -t ext4 /dev/vda /sysroot
}
# Replaces an object by another file with the same name, without fs-verity.
replace() { rm -f "$1" && cp "$2" "$1"; }

repo=/sysroot/composefs
c() { cfsctl --repo $repo "$@"; }
object_of() { echo "$repo/objects/$(echo "$1" | cut -c1-2)/$(echo "$1" | cut -c3-)"; }
# The object with the content of a file.
find_object() {
    local sum
    sum=$(sha256sum <"$1")
    find $repo/objects -type f -size "$(stat -c %s "$1")c" | while read -r file; do
        [ "$(sha256sum <"$file")" = "$sum" ] && echo "$file" && break
    done
}
unmount() { umount /mnt; }
# All names that the image has.
image_names() { echo "$id $hash:$id named refs/named"; }
shorten() { echo "$1" | sed 's/[0-9a-f]\{64,\}/DIGEST/'; }

mkdir /sysroot/measure
BUN_BE_BUN=1 cfsctl run /guest/test/vm/measure.ts /sysroot/measure >$log 2>&1
lines=$(grep -c '^ok ' $log)
if [ "$lines" = 26 ] && ! grep -qv '^ok ' $log; then
    cat $log
    passed=$((passed + lines))
else
    fail "our fs-verity digests are the kernel's"
fi
rm -rf /sysroot/measure

scenario() {
    hash=$1
    suffix=" ($hash)"
    rm -rf $repo
    succeeds "init makes a repository that requires fs-verity$suffix" c --require-verity init --algorithm "fsverity-$hash-12"
    succeeds "pull$suffix" c --require-verity oci pull oci:/guest/image hello
    succeeds "fsck finds nothing$suffix" c fsck
    succeeds "oci fsck finds nothing$suffix" c oci fsck
    id=$(c oci compute-id hello | tail -n 1)
    id=${id#sha*:}
    image=$(object_of "$id")

    succeeds "oci mount$suffix" c oci mount hello /mnt
    succeeds "the kernel checks what it serves$suffix" grep -q "^composefs:$id /mnt overlay ro,.*verity=require" /proc/mounts
    succeeds "the mount has the files of the image$suffix" diff -r /guest/tree /mnt
    succeeds "hard links are links$suffix" test "$(stat -c %i-%h /mnt/usr/bin/tool)" = "$(stat -c %i-2 /mnt/usr/bin/same-tool)"
    unmount
    mkdir -p $repo/images/refs
    ln -s "../$id" $repo/images/refs/named
    for name in $(image_names); do
        succeeds "mount as $(shorten "$name")$suffix" c mount "$name" /mnt
        succeeds "and read$suffix" cmp /guest/tree/usr/lib/huge /mnt/usr/lib/huge
        unmount
    done
}

tamper() {
    big=$(find_object /guest/tree/usr/lib/big)
    block=$(find_object /guest/tree/usr/lib/block)

    # One bit of an object, in its third block.
    flip "$big" 10000
    succeeds "an image with a damaged object can be mounted" c oci mount hello /mnt
    refuses "a damaged block is not served" "Input/output error" dd if=/mnt/usr/lib/big of=/dev/null bs=4096 skip=2 count=1
    succeeds "the blocks before it are" dd if=/mnt/usr/lib/big of=/dev/null bs=4096 count=2
    succeeds "other files are" cmp /guest/tree/usr/lib/block /mnt/usr/lib/block
    unmount
    refuses "fsck --deep names the damaged object" "${big##*/}" c fsck --deep
    flip "$big" 10000
    succeeds "fsck --deep is content when the bit is right again" c fsck --deep

    # The same content without fs-verity.
    replace "$block" /guest/tree/usr/lib/block
    succeeds "an image with an object without fs-verity can be mounted" c oci mount hello /mnt
    refuses "the object without fs-verity is not served" "Input/output error" cat /mnt/usr/lib/block
    unmount
    refuses "fsck names the object without fs-verity" "${block##*/}" c fsck
    rm "$block"
    succeeds "pulling again" c oci pull oci:/guest/image hello
    succeeds "brings back what was removed" c fsck
    c oci mount hello /mnt
    succeeds "which is served again" cmp /guest/tree/usr/lib/block /mnt/usr/lib/block
    unmount

    # Other content with fs-verity.
    mv "$block" /sysroot/kept && ln "$big" "$block"
    c oci mount hello /mnt
    refuses "another object's content is not served" "Input/output error" cat /mnt/usr/lib/block
    unmount
    refuses "fsck names the object with other content" "${block##*/}" c fsck
    mv /sysroot/kept "$block"

    # The image itself.
    cp "$image" /tmp/image
    mv "$image" /sysroot/kept
    cp /tmp/image "$image"
    for name in $(image_names); do
        refuses "an image without fs-verity is refused as $(shorten "$name")" "no fs-verity" c mount "$name" /mnt
    done
    refuses "also by tag" "no fs-verity" c oci mount hello /mnt
    refuses "and by fsck" "${image##*/}" c fsck
    succeeds "--insecure mounts it" cfsctl --insecure --repo $repo mount "$id" /mnt
    succeeds "without the kernel's checks" sh -c '! grep " /mnt overlay .*verity=" /proc/mounts'
    unmount
    rm "$image" && ln "$big" "$image"
    for name in $(image_names); do
        refuses "another file in its place is refused as $(shorten "$name")" "does not have the content" c mount "$name" /mnt
    done
    rm "$image" && mv /sysroot/kept "$image"
    flip "$image" 1024
    refuses "an image with a damaged superblock is refused" "mounting the EROFS image" c mount "$id" /mnt
    refuses "fsck names the damaged image" "${image##*/}" c fsck
    flip "$image" 1024
    if is_mounted /mnt; then fail "nothing stays mounted"; else pass "nothing stays mounted"; fi
}

seal() {
    succeeds "seal an image" c oci seal hello --tag sealed
    succeeds "oci mount of a sealed image" c oci mount sealed /mnt
    succeeds "mounts what was sealed, checked by the kernel" grep -q "^composefs:$id /mnt overlay ro,.*verity=require" /proc/mounts
    unmount
    refuses "its bootable form was not sealed" "is sealed: only the EROFS image $id" c oci mount sealed /mnt --bootable
    mv "$image" /sysroot/kept
    cp /sysroot/kept "$image"
    refuses "a sealed image without fs-verity is refused" "no fs-verity" c oci mount sealed /mnt
    succeeds "--insecure mounts it when its content is right" cfsctl --insecure --repo $repo oci mount sealed /mnt
    unmount
    printf x >>"$image"
    refuses "and only then" "does not have the content" cfsctl --insecure --repo $repo oci mount sealed /mnt
    rm "$image" && mv /sysroot/kept "$image"
    c oci untag sealed >$log
}

changes() {
    mkdir -p /sysroot/upper /sysroot/work
    succeeds "mount for changes" c oci mount hello /mnt --upperdir /sysroot/upper --workdir /sysroot/work --read-write
    succeeds "change a file" sh -c 'echo more >>/mnt/usr/lib/big && [ "$(tail -n 1 /mnt/usr/lib/big)" != "" ]'
    unmount
    succeeds "the repository stays as it was" c fsck
}

for algorithm in sha512 sha256; do scenario $algorithm; done
tamper
seal
changes

echo "$passed passed, $failed failed"
[ $failed = 0 ]
