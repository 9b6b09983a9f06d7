# Images of the control plane and of the data plane.
#
#     docker build --target operator  --tag gondola-operator  .
#     docker build --target inference --tag gondola-inference .
#
# What a root file system holds is decided by scripts/root-filesystem.sh alone, which tests use without Docker as well.

FROM debian:bookworm-slim AS build
WORKDIR /gondola
COPY . .
RUN apt-get update && apt-get install --yes --no-install-recommends make ca-certificates curl && make build
RUN scripts/root-filesystem.sh operator /out/operator
RUN scripts/root-filesystem.sh inference /out/inference

# The operator speaks to the API server alone: its program, the libraries that it is linked to, nothing else.
FROM scratch AS operator
COPY --from=build /out/operator/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-operator"]

FROM scratch AS inference
COPY --from=build /out/inference/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gondola-inference"]
