#!/usr/bin/env bash
# Judges the kernels that Intel and NVIDIA GPUs run by Mesa's compilers, without the hardware: registers, spills, memory.
#
#     sudo benches/compilers.sh CHROOT
#
# CHROOT is a folder for Debian 13, which is created there if it is empty (6 GB; 15 minutes on two cores). Its drivers are
# Debian's own packages. Only the stand-ins for the kernel drivers (Mesa's drm-shim) are built, from Debian's source of
# Mesa. AMD's compiler needs none of this: `cargo test --release --test compilers -- --ignored`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=${1:?"usage: benches/compilers.sh CHROOT"}
mirror=${MIRROR:-http://deb.debian.org/debian}
shims=build/src

inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"; }

if [ ! -d "$root/usr" ]; then
    command -v debootstrap >/dev/null || apt-get install -q -y debootstrap
    debootstrap --variant=minbase trixie "$root" "$mirror"
    echo "deb-src $mirror trixie main" >>"$root/etc/apt/sources.list"
fi
for folder in proc dev; do
    mountpoint -q "$root/$folder" || mount --bind "/$folder" "$root/$folder"
done
mesa=$(inside sh -c 'ls -d /build/mesa-*/ 2>/dev/null | head -n 1' || true)
if [ -z "$mesa" ] || [ ! -e "$root/$mesa/$shims/nouveau/drm-shim/libnouveau_noop_drm_shim.so" ]; then
    inside sh -euc '
        apt-get update
        apt-get install -y --no-install-recommends build-essential mesa-vulkan-drivers libvulkan1
        apt-get build-dep -y --no-install-recommends mesa
        mkdir -p /build && cd /build && apt-get source mesa && cd mesa-*/
        # Crates come from Debian packages instead of the network.
        export MESON_PACKAGE_CACHE_DIR=/usr/share/cargo/registry
        for crate in paste proc-macro2 quote syn unicode-ident; do
            folder=$(basename "$MESON_PACKAGE_CACHE_DIR/$crate"-*)
            sed -i -e "/^source/d" -e "s,^directory.*,directory = $folder," "subprojects/$crate.wrap"
        done
        meson setup build -Dbuildtype=release -Dtools=drm-shim,intel -Dvulkan-drivers=amd,intel,nouveau \
            -Dgallium-drivers= -Dplatforms= -Dglx=disabled -Degl=disabled -Dgbm=disabled -Dopengl=false \
            -Dgles1=disabled -Dgles2=disabled -Dllvm=enabled -Dvideo-codecs= -Dvulkan-layers= -Dvalgrind=disabled \
            -Dlibunwind=disabled
        ninja -C build src/nouveau/drm-shim/libnouveau_noop_drm_shim.so src/intel/tools/libintel_noop_drm_shim.so'
    mesa=$(inside sh -c 'ls -d /build/mesa-*/ | head -n 1')
fi

cargo test --release --test compilers --no-run
binary=$(cargo test --release --test compilers --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*compilers-[^"]*"' | cut -d'"' -f4 | tail -n 1)
cp "$binary" "$root/tmp/compilers"

# judge GPU DRIVER SHIM VARIABLE=VALUE...: the kernels of that GPU of `ketformer bench model`
failed=
judge() {
    local gpu=$1 driver=$2 shim=$3
    shift 3
    echo
    echo "==> $gpu ($*)"
    inside "$@" XDG_RUNTIME_DIR=/run KETFORMER_TEST_COMPILER="$gpu" MESA_SHADER_CACHE_DISABLE=1 \
        VK_DRIVER_FILES="/usr/share/vulkan/icd.d/${driver}_icd.json" LD_PRELOAD="$mesa$shims/$shim" \
        /tmp/compilers --ignored --nocapture || failed="$failed $gpu"
}
judge iris-xe intel intel/tools/libintel_noop_drm_shim.so INTEL_STUB_GPU_PLATFORM=tgl
judge arc-a770 intel intel/tools/libintel_noop_drm_shim.so INTEL_STUB_GPU_PLATFORM=dg2
judge rtx3080 nouveau nouveau/drm-shim/libnouveau_noop_drm_shim.so NOUVEAU_CHIPSET=0x172 \
    NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1
[ -z "$failed" ] || {
    echo "compilers.sh: kernels of$failed need other tiles, see above" >&2
    exit 1
}
