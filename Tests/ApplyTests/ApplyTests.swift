// Tests of the module go here.
