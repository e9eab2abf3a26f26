DROP TABLE `endpoints`;--> statement-breakpoint
ALTER TABLE `circuits` ADD `health_check` text;--> statement-breakpoint
ALTER TABLE `nodes` ADD `route_reports` text;--> statement-breakpoint
ALTER TABLE `workers` ADD `is_original` integer DEFAULT false NOT NULL;--> statement-breakpoint
UPDATE `workers` SET `is_original` = 1 WHERE `id` IN (SELECT `worker_id` FROM `nodes` WHERE `node_id` = '(unnamed)');
