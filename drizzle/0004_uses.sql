ALTER TABLE `circuits` ADD `last_access` real;--> statement-breakpoint
CREATE INDEX `tokens_kernel` ON `tokens` (`kernel_host`,`kernel_port`);