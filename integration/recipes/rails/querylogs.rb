require_relative "shop"
require "active_support/execution_context"

# What an application's config.active_record.query_log_tags_enabled does.
ActiveRecord.query_transformers << ActiveRecord::QueryLogs

# docs: from here
# config/initializers/query_logs.rb, with config.active_record.query_log_tags_enabled = true
ActiveRecord::QueryLogs.tags = [:application, { mc: ->(context) { context[:mc] } }]
ActiveRecord::QueryLogs.update_formatter(:sqlcommenter)
ActiveRecord::QueryLogs.taggings[:application] = "Shop"

# Names keys in every statement of a block. The formatter encodes them.
def tag(*keys, &block)
  ActiveSupport::ExecutionContext.set(mc: keys.join(" "), &block)
end

tag("user:1", "user:1:friends") do
  User.find(1).update!(name: "Grace /* mc: forged */")
end
# docs: to here

user = nil
tag("users:newest", "user_by_email:#{EMAIL}") { user = User.create!(name: "Ada", email: EMAIL) }
tag("user:#{user.id}", "user_by_email:#{EMAIL}") { user.destroy! }
