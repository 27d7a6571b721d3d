output "url" {
  description = "URL of the Cloud Run service, and the audience of tokens for it."
  value       = local.cloud_run ? local.url : null
}

output "runtime_account" {
  description = "The account that the server runs as."
  value       = google_service_account.runtime.email
}

output "invoker_account" {
  description = "The account that Cloud Tasks and Cloud Scheduler sign as: OIDC_SERVICE_ACCOUNT_EMAIL."
  value       = google_service_account.invoker.email
}

output "build_account" {
  description = "The account that Cloud Build releases with."
  value       = local.cloud_run ? google_service_account.build[0].email : null
}

output "cloud_sql_instance" {
  description = "Connection name of the database."
  value       = var.create_database ? google_sql_database_instance.database[0].connection_name : null
}

output "database_user" {
  description = "The database's user on App Engine, for DATABASE_URL."
  value       = local.app_engine ? replace(local.iam_user, "@", "%40") : null
}

output "queue_aliases" {
  description = "TASKS_QUEUE_ALIASES: the Cloud Tasks queue of each task queue that has another name there."
  value       = join(",", local.aliases)
}
