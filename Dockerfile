# The server as one static binary in an image without a shell, for Cloud Run.
# Pin both images by digest where builds must be repeatable.
FROM golang:1.26 AS build
WORKDIR /src
# Modules change less often than code: this layer is found again by the next build.
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/server ./cmd/server

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/server /server
# 65532, by number so that a platform can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/server"]
