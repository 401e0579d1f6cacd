#!/bin/sh
# Makes sure that there is an adapter to compute on. Where Vulkan, Metal or DX12 is at hand it does nothing; on Linux
# without one it installs Mesa's software Vulkan driver. Running it again changes nothing.
set -eu

say() { echo "setup: $*"; }

fail() {
    echo "setup: $*" >&2
    exit 1
}

# The Vulkan loader, which the program opens at run time.
has_loader() {
    for folder in /usr/lib /usr/lib64 /usr/local/lib /lib /lib64 /usr/lib/*-linux-gnu* /lib/*-linux-gnu*; do
        [ -e "$folder/libvulkan.so.1" ] && return 0
    done
    return 1
}

has_gpu_device() {
    for device in /dev/dri/renderD* /dev/nvidia0 /dev/dxg; do
        [ -e "$device" ] && return 0
    done
    return 1
}

# A driver that the loader will find: the software one, or another with a device to drive.
has_driver() {
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d \
        "${HOME:-/root}/.local/share/vulkan/icd.d"; do
        for driver in "$folder"/*.json; do
            [ -e "$driver" ] || continue
            case "${driver##*/}" in
            lvp_icd*) return 0 ;;
            *) has_gpu_device && return 0 ;;
            esac
        done
    done
    return 1
}

has_adapter() {
    if command -v vulkaninfo >/dev/null 2>&1; then
        # It knows for certain; without a terminal of a desktop it only complains on stderr.
        vulkaninfo --summary 2>/dev/null | grep -q deviceName && return 0
        return 1
    fi
    has_loader && has_driver
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "needs root for: $* ; run it as root, then run this again"
    fi
}

# The version of Mesa's drivers by the system's packages, such as 22.3.6; empty where they do not say.
mesa_version() {
    {
        dpkg-query -W -f='${Version}\n' mesa-vulkan-drivers 2>/dev/null ||
            rpm -q --qf '%{VERSION}\n' mesa-vulkan-drivers 2>/dev/null ||
            pacman -Q vulkan-swrast 2>/dev/null ||
            apk info -e -v mesa-vulkan-swrast 2>/dev/null
    } | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1
}

# What the installed version means where there is no GPU: kernels run on the processor.
describe_driver() {
    version=$(mesa_version || true)
    if [ -z "$version" ] || has_gpu_device; then
        return 0
    fi
    case "$version" in
    1?.* | 2[0-3].*) say "Mesa $version computes on the processor; Mesa 25 takes about twice as long to compile kernels for \
the first step of a run, and runs steps about as fast" ;;
    *) say "Mesa $version computes on the processor; it takes about twice as long as Mesa 22 to compile kernels for the \
first step of a run, and runs steps about as fast" ;;
    esac
}

install_driver() {
    if command -v apt-get >/dev/null 2>&1; then
        say "installing libvulkan1 and mesa-vulkan-drivers by apt"
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            libvulkan1 mesa-vulkan-drivers
    elif command -v dnf >/dev/null 2>&1; then
        say "installing vulkan-loader and mesa-vulkan-drivers by dnf"
        as_root dnf install -y vulkan-loader mesa-vulkan-drivers
    elif command -v pacman >/dev/null 2>&1; then
        say "installing vulkan-icd-loader and vulkan-swrast by pacman"
        as_root pacman -S --needed --noconfirm vulkan-icd-loader vulkan-swrast
    elif command -v apk >/dev/null 2>&1; then
        say "installing vulkan-loader and mesa-vulkan-swrast by apk"
        as_root apk add vulkan-loader mesa-vulkan-swrast
    else
        fail "no apt, dnf, pacman or apk here; install a Vulkan driver, such as Mesa's lavapipe, by hand"
    fi
}

case "$(uname -s)" in
Linux) ;;
Darwin)
    say "macOS has Metal: nothing to do"
    exit 0
    ;;
MINGW* | MSYS* | CYGWIN*)
    say "Windows has DX12: nothing to do"
    exit 0
    ;;
*)
    say "no adapter is known for $(uname -s); if the tests find none, install a Vulkan driver"
    exit 0
    ;;
esac

if has_adapter; then
    say "a Vulkan adapter is present: nothing to do"
    describe_driver
    exit 0
fi
say "no Vulkan adapter found"
install_driver
has_adapter || fail "the driver is installed and there is still no adapter; \`vulkaninfo --summary\` may say why"
say "done: Mesa's software Vulkan driver is installed"
describe_driver
