require "active_record"
require "erb"

ActiveRecord::Base.establish_connection(adapter: "mysql2", host: "127.0.0.1", port: ENV["RECIPE_PORT"].to_i,
                                        username: "root", database: "shop", ssl_mode: :disabled)

class User < ActiveRecord::Base
end

EMAIL = %q(d'arcy,100%*/\@example.com)

puts "Rails\t#{ActiveRecord::VERSION::STRING}", "mysql2\t#{Mysql2::VERSION}", "Ruby\t#{RUBY_VERSION}"
