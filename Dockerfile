# Images of the control plane and of the data plane.
#
#     docker build --target operator       --tag gondola-operator       .
#     docker build --target router         --tag gondola-router         .
#     docker build --target inference      --tag gondola-inference      .
#     docker build --target train          --tag gondola-train          .
#     docker build --target train-ballista --tag gondola-train-ballista .
#     docker build --target inference-cuda --tag gondola-inference-cuda .
#     docker build --target shop           --tag gondola-shop           .
#
# What a root file system holds is decided by scripts/root-filesystem.sh alone, which tests use without Docker as well.

FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make ca-certificates curl
# What is fetched and compiled stays with the builder, so that layers are small and the next build is quick.
ENV GONDOLA_CACHE=/var/cache/gondola CARGO_TARGET_DIR=/var/cache/gondola/target
# Where the Makefile of this version puts it.
ENV GONDOLA_ONNX_RUNTIME=/var/cache/gondola/tools/onnxruntime-1.32.0/libonnxruntime.so
WORKDIR /gondola
COPY . .
RUN --mount=type=cache,target=/var/cache/gondola \
    make build && \
    scripts/root-filesystem.sh operator /out/operator && \
    scripts/root-filesystem.sh router /out/router && \
    scripts/root-filesystem.sh inference /out/inference && \
    scripts/root-filesystem.sh train /out/train && \
    scripts/root-filesystem.sh shop /out/shop

# Built on what the others were built from: CUDA's kernels and what they touch come on top.
FROM build AS build-cuda
ARG CUDA_COMPUTE_CAP=80
RUN --mount=type=cache,target=/var/cache/gondola \
    make build-cuda && \
    scripts/root-filesystem.sh inference-cuda /out/inference-cuda "$GONDOLA_CACHE/cuda-13.0"

# The operator speaks to the API server alone: its program, the libraries that it is linked to, nothing else.
FROM scratch AS operator
COPY --from=build /out/operator/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-operator"]

# The router, the resolver and the analyzer: no model code.
FROM scratch AS router
COPY --from=build /out/router/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-router"]

# The example of a shop: pages over a pipeline.
FROM scratch AS shop
COPY --from=build /out/shop/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-shop"]

# What trains models, from a shop's files to bundles in a store.
FROM scratch AS train
COPY --from=build /out/train/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-train"]

# The same with queries on many machines, and their scheduler and executors.
FROM build AS build-ballista
RUN --mount=type=cache,target=/var/cache/gondola \
    make build-ballista && \
    scripts/root-filesystem.sh train-ballista /out/train-ballista

FROM scratch AS train-ballista
COPY --from=build-ballista /out/train-ballista/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-train"]

# The driver comes from the node, by NVIDIA's container runtime, which reads this variable.
FROM scratch AS inference-cuda
COPY --from=build-cuda /out/inference-cuda/ /
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-inference"]

FROM scratch AS inference
COPY --from=build /out/inference/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-inference"]
