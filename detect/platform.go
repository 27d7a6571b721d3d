package detect

import "strconv"

// Platform is where the process runs.
type Platform int

const (
	// None is everything else: a laptop, a plain virtual machine, CI.
	None Platform = iota
	// CloudRunService is a Cloud Run service (K_SERVICE is set). It has a URL.
	CloudRunService
	// CloudRunJob is an execution of a Cloud Run job (CLOUD_RUN_JOB is set). It has no URL.
	CloudRunJob
	// CloudRunWorkerPool is a Cloud Run worker pool (CLOUD_RUN_WORKER_POOL is set). It has no URL.
	CloudRunWorkerPool
	// AppEngine is App Engine, standard or flexible (a GAE_* variable is set).
	AppEngine
)

// String returns the name of the platform for display.
func (p Platform) String() string {
	switch p {
	case None:
		return "none"
	case CloudRunService:
		return "Cloud Run service"
	case CloudRunJob:
		return "Cloud Run job"
	case CloudRunWorkerPool:
		return "Cloud Run worker pool"
	case AppEngine:
		return "App Engine"
	}
	return "Platform(" + strconv.Itoa(int(p)) + ")"
}

// IsCloudRun reports whether p is a Cloud Run service, job or worker pool.
func (p Platform) IsCloudRun() bool {
	return p == CloudRunService || p == CloudRunJob || p == CloudRunWorkerPool
}

// Platform says where the process runs, from environment variables alone. GAE_*
// is looked at first: nothing but App Engine sets it, while K_SERVICE is also set
// by Knative elsewhere. The local App Engine development server counts as [None].
func (d *Detector) Platform() Platform {
	switch {
	case d.getenv("GAE_ENV") == "localdev":
		return None
	case d.getenv("GAE_APPLICATION") != "", d.getenv("GAE_ENV") != "", d.getenv("GAE_INSTANCE") != "":
		return AppEngine
	case d.getenv("CLOUD_RUN_JOB") != "":
		return CloudRunJob
	case d.getenv("CLOUD_RUN_WORKER_POOL") != "":
		return CloudRunWorkerPool
	case d.getenv("K_SERVICE") != "":
		return CloudRunService
	}
	return None
}

// names returns the service (job, pool) and the version (revision, execution)
// that the platform gave this process; empty where there is none.
func (d *Detector) names() (service, version string) {
	switch d.Platform() {
	case CloudRunService:
		return d.getenv("K_SERVICE"), d.getenv("K_REVISION")
	case CloudRunJob:
		return d.getenv("CLOUD_RUN_JOB"), d.getenv("CLOUD_RUN_EXECUTION")
	case CloudRunWorkerPool:
		return d.getenv("CLOUD_RUN_WORKER_POOL"), d.getenv("CLOUD_RUN_REVISION")
	case AppEngine:
		return d.getenv("GAE_SERVICE"), d.getenv("GAE_VERSION")
	}
	return "", ""
}
