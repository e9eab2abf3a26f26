CREATE TABLE `app_filters` (
	`worker_id` text NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`worker_id`, `key`, `value`),
	FOREIGN KEY (`worker_id`) REFERENCES `workers`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `changes` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`worker_id` text NOT NULL,
	`revision` integer NOT NULL,
	`kind` text NOT NULL,
	`circuit_id` text NOT NULL,
	`circuit` text NOT NULL,
	`request_id` text,
	`created_at` integer NOT NULL,
	`published_at` integer,
	FOREIGN KEY (`worker_id`) REFERENCES `workers`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `changes_revision` ON `changes` (`worker_id`,`revision`);--> statement-breakpoint
CREATE INDEX `changes_unpublished` ON `changes` (`published_at`,`id`);--> statement-breakpoint
CREATE TABLE `circuit_sessions` (
	`session_id` text NOT NULL,
	`circuit_id` text NOT NULL,
	PRIMARY KEY(`session_id`, `circuit_id`),
	FOREIGN KEY (`circuit_id`) REFERENCES `circuits`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `circuit_sessions_circuit` ON `circuit_sessions` (`circuit_id`);--> statement-breakpoint
CREATE TABLE `circuits` (
	`id` text PRIMARY KEY NOT NULL,
	`worker_id` text NOT NULL,
	`app` text NOT NULL,
	`protocol` text NOT NULL,
	`app_mode` text NOT NULL,
	`frontend_mode` text NOT NULL,
	`port` integer,
	`subdomain` text,
	`envs` text NOT NULL,
	`arguments` text,
	`open_to_public` integer NOT NULL,
	`allowed_client_ips` text,
	`user_id` text,
	`endpoint_id` text,
	`runtime_variant` text,
	`route_info` text NOT NULL,
	`origin_request_id` text,
	`revision` integer NOT NULL,
	`acknowledged_at` integer,
	`acknowledged_revision` integer,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	FOREIGN KEY (`worker_id`) REFERENCES `workers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `circuits_port` ON `circuits` (`worker_id`,`port`);--> statement-breakpoint
CREATE UNIQUE INDEX `circuits_subdomain` ON `circuits` (`worker_id`,`subdomain`);--> statement-breakpoint
CREATE INDEX `circuits_order` ON `circuits` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `circuits_origin` ON `circuits` (`origin_request_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `circuits_endpoint` ON `circuits` (`endpoint_id`);--> statement-breakpoint
CREATE TABLE `endpoints` (
	`id` text PRIMARY KEY NOT NULL,
	`service_name` text NOT NULL,
	`health_check` text,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `free_ports` (
	`worker_id` text NOT NULL,
	`port` integer NOT NULL,
	`released_at` integer NOT NULL,
	PRIMARY KEY(`worker_id`, `port`),
	FOREIGN KEY (`worker_id`) REFERENCES `workers`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `free_ports_order` ON `free_ports` (`worker_id`,`released_at`,`port`);--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `nodes` (
	`worker_id` text NOT NULL,
	`node_id` text NOT NULL,
	`lease_until` integer NOT NULL,
	`revision` integer,
	`registered_at` integer NOT NULL,
	PRIMARY KEY(`worker_id`, `node_id`),
	FOREIGN KEY (`worker_id`) REFERENCES `workers`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`login_session_token` text,
	`kernel_host` text NOT NULL,
	`kernel_port` integer NOT NULL,
	`session_id` text NOT NULL,
	`user_id` text NOT NULL,
	`project_id` text,
	`access_key` text NOT NULL,
	`domain_name` text,
	`origin_request_id` text,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `tokens_expiry` ON `tokens` (`expires_at`);--> statement-breakpoint
CREATE INDEX `tokens_session` ON `tokens` (`session_id`);--> statement-breakpoint
CREATE TABLE `workers` (
	`id` text PRIMARY KEY NOT NULL,
	`authority` text NOT NULL,
	`frontend_mode` text NOT NULL,
	`protocol` text NOT NULL,
	`hostname` text NOT NULL,
	`tls_listen` integer NOT NULL,
	`tls_advertised` integer NOT NULL,
	`api_port` integer NOT NULL,
	`port_low` integer,
	`port_high` integer,
	`wildcard_domain` text,
	`wildcard_traffic_port` integer,
	`accepted_traffics` text NOT NULL,
	`filtered_apps_only` integer NOT NULL,
	`traefik_last_used_marker_path` text,
	`status` text NOT NULL,
	`revision` integer DEFAULT 0 NOT NULL,
	`last_seen_at` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `workers_authority` ON `workers` (`authority`);