# Writes the hashes of an app whose Devise has a pepper, as statements that follow devise.sql, for tests/stories/import_from.rs:
# ruby make_devise.rb FOLDER. It needs Debian's package ruby-devise.
require "active_support/all"
require "devise/encryptor"

PASSWORD = "plum-octave-harbour".freeze
SITE = Struct.new(:pepper, :stretches).new("f1ee3b1c8a0d4e6b97a2", 4)

lines = ["ada@example.com", "carol@example.com"].map do |email|
  hash = Devise::Encryptor.digest(SITE, PASSWORD)
  "UPDATE users SET encrypted_password = '#{hash}' WHERE email = '#{email}';\n"
end
File.write(File.join(ARGV.fetch(0), "devise_pepper.sql"), lines.join)
