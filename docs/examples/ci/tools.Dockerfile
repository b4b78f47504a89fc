# What the examples of pipelines use, in one image: docker build -f ci/tools.Dockerfile -t registry.example.com/ci/tools:1 docs/examples
FROM golang:1.26-bookworm AS build
ENV CGO_ENABLED=0 GOBIN=/out
RUN go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
 && go install github.com/regclient/regclient/cmd/regctl@v0.11.7 \
 && go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 \
 && go install github.com/anchore/syft/cmd/syft@v1.52.0

FROM aquasec/trivy:0.69.3 AS trivy

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git jq skopeo \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/
COPY --from=trivy /usr/local/bin/trivy /usr/local/bin/
COPY scripts/ /usr/local/bin/
