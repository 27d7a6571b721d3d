locals {
  cloud_run  = var.platform == "cloud-run"
  app_engine = var.platform == "app-engine"
  apis = local.cloud_run ? [
    "iam", "iamcredentials", "cloudtasks", "cloudscheduler", "secretmanager", "run", "artifactregistry", "cloudbuild",
    "sqladmin", "sql-component",
  ] : ["iam", "iamcredentials", "cloudtasks", "sqladmin", "sql-component", "appengine", "cloudbuild"]
}

data "google_project" "project" {
  project_id = var.project
}

resource "google_project_service" "apis" {
  for_each           = toset(local.apis)
  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# The server runs as this one.
resource "google_service_account" "runtime" {
  project      = var.project
  account_id   = "${var.service}-run"
  display_name = "claimcheck: the server"
  depends_on   = [google_project_service.apis]
}

# Cloud Tasks and Cloud Scheduler sign their requests as this one.
resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "${var.service}-invoker"
  display_name = "claimcheck: calls the server, for Cloud Tasks and Cloud Scheduler"
  depends_on   = [google_project_service.apis]
}

# Cloud Tasks signs the server's tasks as the invoker.
resource "google_service_account_iam_member" "runtime_acts_as_invoker" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.runtime.member
}
