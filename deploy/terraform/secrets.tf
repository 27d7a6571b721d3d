locals {
  secrets = local.cloud_run ? toset(["database-url", "admin-token"]) : toset([])
}

resource "google_secret_manager_secret" "secrets" {
  for_each  = local.secrets
  project   = var.project
  secret_id = "${var.service}-${each.key}"
  replication {
    auto {}
  }
  depends_on = [google_project_service.apis]
}

resource "google_secret_manager_secret_version" "database_url" {
  count  = local.cloud_run ? 1 : 0
  secret = google_secret_manager_secret.secrets["database-url"].id
  secret_data_wo = (var.create_database
    ? "postgres://claimcheck:${ephemeral.random_password.database.result}@/claimcheck?host=/cloudsql/${var.project}:${var.region}:${var.service}-db"
    : var.database_url
  )
  secret_data_wo_version = var.secret_version
}

ephemeral "random_password" "admin" {
  length  = 48
  special = false
}

resource "google_secret_manager_secret_version" "admin_token" {
  count                  = local.cloud_run ? 1 : 0
  secret                 = google_secret_manager_secret.secrets["admin-token"].id
  secret_data_wo         = ephemeral.random_password.admin.result
  secret_data_wo_version = var.secret_version
}

resource "google_secret_manager_secret_iam_member" "runtime_reads" {
  for_each  = local.secrets
  project   = var.project
  secret_id = google_secret_manager_secret.secrets[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runtime.member
}
