# The account, the image repository and the source bucket of cloudbuild.yaml.
resource "google_service_account" "build" {
  count        = local.cloud_run ? 1 : 0
  project      = var.project
  account_id   = "${var.service}-build"
  display_name = "claimcheck: builds and releases the server"
  depends_on   = [google_project_service.apis]
}

resource "google_artifact_registry_repository" "images" {
  count         = local.cloud_run ? 1 : 0
  project       = var.project
  location      = var.region
  repository_id = var.service
  format        = "DOCKER"
  depends_on    = [google_project_service.apis]
}

resource "google_storage_bucket" "source" {
  count                       = local.cloud_run ? 1 : 0
  project                     = var.project
  location                    = var.region
  name                        = "${var.project}-${var.service}-build"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
}

resource "google_artifact_registry_repository_iam_member" "build_pushes" {
  count      = local.cloud_run ? 1 : 0
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images[0].name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build[0].member
}

resource "google_storage_bucket_iam_member" "build_reads_source" {
  count  = local.cloud_run ? 1 : 0
  bucket = google_storage_bucket.source[0].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build[0].member
}

resource "google_project_iam_member" "build" {
  for_each = local.cloud_run ? toset(["roles/logging.logWriter", "roles/run.developer"]) : toset([])
  project  = var.project
  role     = each.key
  member   = google_service_account.build[0].member
}

# It deploys revisions that run as the server, and calls them as the invoker.
resource "google_service_account_iam_member" "build_deploys_as_runtime" {
  count              = local.cloud_run ? 1 : 0
  service_account_id = google_service_account.runtime.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build[0].member
}

resource "google_service_account_iam_member" "build_asks_as_invoker" {
  count              = local.cloud_run ? 1 : 0
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.build[0].member
}
