# The server as one static binary in an image without a shell, for Cloud Run.
# `make pin-images` pins both base images by digest, and Dependabot updates the digests.
FROM golang:1.26 AS build
WORKDIR /src
# Modules change less often than code, so the next build reuses this layer.
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
# The build has no repository from which the go command could read these.
ARG VERSION=
ARG REVISION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X github.com/claimcheck-go/claimcheck/internal/version.version=$VERSION -X github.com/claimcheck-go/claimcheck/internal/version.revision=$REVISION" -o /out/server ./cmd/server

FROM gcr.io/distroless/static-debian13:nonroot
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="claimcheck" \
      org.opencontainers.image.source="https://github.com/claimcheck-go/claimcheck" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/server /server
# 65532, by number so that a platform can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/server"]
