UPDATE users SET encrypted_password = '$2a$04$m.mx2.va0fXjLqR2K.jfS.dm3dhWZxXCAyK4PKjegmerc8S0qiTRW' WHERE email = 'ada@example.com';
UPDATE users SET encrypted_password = '$2a$04$z4.7gHghK62pDkultwoHs.XrYcS4OXq3ek8KX0eYRT4v4HVK7GfUq' WHERE email = 'carol@example.com';
