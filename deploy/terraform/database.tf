locals {
  # The user of a service account, as PostgreSQL has it.
  iam_user = trimsuffix(google_service_account.runtime.email, ".gserviceaccount.com")
}

resource "google_sql_database_instance" "database" {
  count               = var.create_database ? 1 : 0
  project             = var.project
  region              = var.region
  name                = "${var.service}-db"
  database_version    = "POSTGRES_16"
  deletion_protection = true

  settings {
    edition                     = "ENTERPRISE"
    tier                        = var.sql_tier
    disk_autoresize             = true
    deletion_protection_enabled = true
    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }
    database_flags {
      name  = "max_connections"
      value = "100"
    }
    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }
  }
  depends_on = [google_project_service.apis]
}

resource "google_sql_database" "tasks" {
  count    = var.create_database ? 1 : 0
  project  = var.project
  instance = google_sql_database_instance.database[0].name
  name     = "claimcheck"
}

ephemeral "random_password" "database" {
  length  = 48
  special = false
}

# The secret comes first, and the user's password is read from it: an ephemeral
# password is another one in every run, so that a run that stops between the two would
# otherwise leave a user with a password that is stored nowhere.
ephemeral "google_secret_manager_secret_version" "database_url" {
  count   = local.cloud_run && var.create_database ? 1 : 0
  project = var.project
  secret  = google_secret_manager_secret.secrets["database-url"].secret_id
  version = google_secret_manager_secret_version.database_url[0].version
}

resource "google_sql_user" "claimcheck" {
  count               = local.cloud_run && var.create_database ? 1 : 0
  project             = var.project
  instance            = google_sql_database_instance.database[0].name
  name                = "claimcheck"
  password_wo         = regex("^postgres://claimcheck:([^@]+)@", ephemeral.google_secret_manager_secret_version.database_url[0].secret_data)[0]
  password_wo_version = var.secret_version
}

# On App Engine the server logs in as its service account, without a password.
resource "google_sql_user" "runtime" {
  count    = local.app_engine && var.create_database ? 1 : 0
  project  = var.project
  instance = google_sql_database_instance.database[0].name
  name     = local.iam_user
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

resource "google_project_iam_member" "runtime_connects" {
  count   = var.create_database ? 1 : 0
  project = var.project
  role    = "roles/cloudsql.client"
  member  = google_service_account.runtime.member
}

resource "google_project_iam_member" "runtime_logs_in" {
  count   = local.app_engine && var.create_database ? 1 : 0
  project = var.project
  role    = "roles/cloudsql.instanceUser"
  member  = google_service_account.runtime.member
}
