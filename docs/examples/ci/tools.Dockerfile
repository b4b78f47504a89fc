# What the examples of pipelines use, in one image:
#   docker build -f ci/tools.Dockerfile -t registry.example.com/ci/tools:1 docs/examples
# Everything is built from source by exact version: Go's checksum database vouches for it, which no tag of an image or of a
# download does. Use the image by its digest.
FROM golang:1.26-bookworm AS build
ENV CGO_ENABLED=0 GOBIN=/out
RUN go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
 && go install github.com/regclient/regclient/cmd/regctl@v0.11.7 \
 && go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 \
 && go install github.com/anchore/syft/cmd/syft@v1.52.0 \
 && GOEXPERIMENT=jsonv2 go install github.com/aquasecurity/trivy/cmd/trivy@v0.69.3

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git jq skopeo \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/
COPY scripts/ /usr/local/bin/
