# The image for both processor architectures, with a software bill of materials and its provenance:
#
#   docker buildx bake --file deploy/docker-bake.hcl --push
#   docker buildx imagetools inspect IMAGE:VERSION --format '{{ json .SBOM }}'
variable "IMAGE" {
  default = "agent-webhook-gateway"
}

variable "VERSION" {
  default = "dev"
}

target "default" {
  context   = "."
  platforms = ["linux/amd64", "linux/arm64"]
  tags      = ["${IMAGE}:${VERSION}"]
  attest = [
    "type=sbom",
    "type=provenance,mode=max",
  ]
  labels = {
    "org.opencontainers.image.title"    = "agent-webhook-gateway"
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.source"   = "https://github.com/webhook-gateway/webhook-gateway"
    "org.opencontainers.image.licenses" = "Apache-2.0"
  }
}
