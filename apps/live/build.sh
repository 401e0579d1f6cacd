#!/bin/sh
# Makes dist/, a folder that any static server can host: apps/live/build.sh [FOLDER [PROFILE]]. The profile `release` builds
# faster where tests have built the same dependencies, and makes a larger page.
set -eu
cd "$(dirname "$0")/../.."
dist="${1:-apps/live/dist}"
profile="${2:-web}"
version="$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p}' Cargo.lock)"
rustup target add wasm32-unknown-unknown
cargo build --locked --profile "$profile" --target wasm32-unknown-unknown -p ketformer-live
cargo install --quiet --debug --root target/wasm-bindgen --no-default-features "wasm-bindgen-cli@$version"
target/wasm-bindgen/bin/wasm-bindgen --target web --no-typescript --remove-name-section --out-dir "$dist" \
    "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/$profile/ketformer-live.wasm"
cp apps/live/index.html "$dist"
echo "$dist is complete; for example: python3 -m http.server --directory $dist"
